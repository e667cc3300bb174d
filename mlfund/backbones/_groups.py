"""Layer groups of any torch module: what is frozen, and given a rate, together."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

# A part with more than this share of all parameters is looked into, and is no group itself.
LARGE_SHARE = 0.5


class LooseTensors(nn.Module):
    """Parameters and buffers that a module holds itself, beside those of its children."""

    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        for name, parameter in owner.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in owner.named_buffers(recurse=False):
            self.register_buffer(name, buffer)


def layer_groups(module: nn.Module) -> list[nn.Module]:
    """Return the layers of a module in groups, in the order in which they are registered.

    Parts that hold more than half of all parameters are looked into, part by part. A part
    without a matrix of weights (normalisation, activation, pooling, position embedding) joins
    the group before it, or the first one.

    Parameters
    ----------
    module : Module
        Its layers are registered in the order in which they act, as is usual.

    Returns
    -------
    groups : list of Module
        Together they hold each parameter and buffer of the module.

    Examples
    --------
    >>> from torch import nn
    >>> from mlfund.backbones._groups import layer_groups
    >>> body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
    >>> [len(group) for group in layer_groups(body)]
    [3, 1]
    """
    groups: list[nn.ModuleList] = []
    waiting: list[nn.Module] = []
    for part in _parts(module, LARGE_SHARE * _n_values(module), {}):
        if _has_matrix(part):
            groups.append(nn.ModuleList([*waiting, part]))
            waiting = []
        elif groups:
            groups[-1].append(part)
        else:
            waiting.append(part)
    if waiting:
        groups.append(nn.ModuleList(waiting))
    return list(groups)


def _parts(
    module: nn.Module, large: float, seen: dict[nn.Module, None], *, root: bool = True
) -> Iterator[nn.Module]:
    """Yield the parts of a module, or itself where it is small or has none; each once."""
    children = list(module.children())
    if not children or not (root or _n_values(module) > large):
        if module not in seen:
            seen[module] = None
            yield module
        return
    loose = LooseTensors(module)
    if any(True for _ in (*loose.parameters(), *loose.buffers())):
        yield loose
    for child in children:
        yield from _parts(child, large, seen, root=False)


def _n_values(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _has_matrix(part: nn.Module) -> bool:
    if isinstance(part, LooseTensors):
        return False
    return any(parameter.ndim > 1 for parameter in part.parameters())
