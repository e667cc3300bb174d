"""See what every layer of any module puts out, named by its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# By the name of the torch function; what multiplies by weights, what scales, what bends.
_PRODUCTS = frozenset(
    [
        "linear",
        "addmm",
        "mm",
        "matmul",
        "__matmul__",
        "__rmatmul__",
        "bmm",
        "baddbmm",
        "einsum",
        "bilinear",
        "embedding",
        "embedding_bag",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "multi_head_attention_forward",
        "scaled_dot_product_attention",
    ]
)
_NORMS = frozenset(["batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"])
_ACTIVATIONS = frozenset(
    [
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "leaky_relu_",
        "prelu",
        "elu",
        "elu_",
        "selu",
        "selu_",
        "gelu",
        "silu",
        "mish",
        "tanh",
        "tanh_",
        "sigmoid",
        "sigmoid_",
        "softplus",
        "hardtanh",
        "hardswish",
        "softmax",
        "log_softmax",
    ]
)
_CHANNELS_FIRST = frozenset(
    ["conv1d", "conv2d", "conv3d", "batch_norm", "group_norm", "instance_norm"]
)


@dataclass
class Layer:
    """What one layer put out in a forward pass.

    Attributes
    ----------
    name : str
        Name of its weight in the module, without a final ".weight".
    kind : str
        The torch function that made `output`, such as "linear" or "batch_norm".
    output : Tensor
        Before the activation.
    fed : Tensor or None
        What the layer was given beside its parameters.
    activation : str or None
        The torch function applied to it next, such as "relu".
    activated : Tensor or None
        After the activation.
    """

    name: str
    kind: str
    output: Tensor
    fed: Tensor | None = None
    activation: str | None = None
    activated: Tensor | None = None

    @property
    def signal(self) -> Tensor:
        """What the next layer sees."""
        return self.output if self.activated is None else self.activated

    def by_unit(self, values: Tensor) -> Tensor:
        """Return `values` of this layer as (observations, units)."""
        if values.dim() > 2 and self.kind in _CHANNELS_FIRST:
            values = values.transpose(1, -1)
        return values.reshape(-1, values.shape[-1]) if values.dim() > 1 else values[:, None]


class LayerWatch(TorchFunctionMode):
    """Record the layers of a module while its forward pass runs.

    Works for any module without a change to it: it listens to torch's functions and
    knows a layer by the parameter that a product or a normalisation is given, so that
    activations written as functions are seen as well as those that are modules.

    Parameters
    ----------
    module : torch.nn.Module
        Whose parameters give the layers their names.
    on_layer : callable, optional
        ``on_layer(layer)``, told of every product, normalisation and activation as it
        happens.

    Attributes
    ----------
    layers : list of Layer
        In the order in which they ran.

    Examples
    --------
    >>> import torch
    >>> from mlfund._engine.watching import LayerWatch
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    >>> with LayerWatch(net) as watch:
    ...     raw = net(torch.ones(2, 3))
    >>> [(layer.name, layer.kind, layer.activation) for layer in watch.layers]
    [('0', 'linear', 'relu'), ('2', 'linear', None)]
    """

    def __init__(
        self, module: nn.Module, on_layer: Callable[[Layer], object] | None = None
    ) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self.on_layer = on_layer
        # By address: a transposed weight is another tensor object on the same memory.
        self._names = {
            parameter.data_ptr(): name.removesuffix(".weight")
            for name, parameter in module.named_parameters()
            if parameter.numel()
        }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run `func` and note what it was."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in _PRODUCTS or name in _NORMS:
            self._note_layer(name, (*args, *kwargs.values()), out)
        elif name in _ACTIVATIONS and self.layers and isinstance(out, Tensor):
            layer = self.layers[-1]
            if layer.activated is None:
                layer.activation, layer.activated = name.rstrip("_"), out
                self._tell(layer)
        return out

    def _note_layer(self, kind: str, given: tuple[Any, ...], out: Any) -> None:
        out = out[0] if isinstance(out, tuple) else out
        names, fed = [], None
        for tensor in _tensors(given):
            name = self._names.get(tensor.data_ptr())
            if name is None:
                fed = tensor if fed is None else fed
            elif kind in _NORMS or tensor.dim() > 1:
                names.append(name)
        if not names or not isinstance(out, Tensor) or not out.is_floating_point():
            return
        self.layers.append(Layer(names[0], kind, out, fed))
        self._tell(self.layers[-1])

    def _tell(self, layer: Layer) -> None:
        if self.on_layer is not None:
            self.on_layer(layer)


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
