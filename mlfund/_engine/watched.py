"""What the engine must know of a module and of callbacks before it trains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skorch.callbacks import Callback
from torch import nn

PER_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
_MODULE_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def needs_notifications(callbacks: Iterable[tuple[str, Any]], module: nn.Module) -> bool:
    """Say whether a callback looks at batches, or a hook at the module."""
    overridden = any(
        getattr(type(callback), hook, None) is not getattr(Callback, hook)
        for _, callback in callbacks
        for hook in PER_BATCH_HOOKS
    )
    return overridden or any(
        getattr(part, name, None) for part in module.modules() for name in _MODULE_HOOKS
    )


def validation_rows(module: nn.Module, batch_size: int) -> int:
    """Return how many rows at once go through a module without gradients."""
    own = getattr(module, "rows_at_once", None)
    if own is not None:
        return int(own)
    # A module of unknown width gets no larger batches than it is trained on, or 256.
    return 8192 if hasattr(module, "backprop") else max(batch_size, 256)
