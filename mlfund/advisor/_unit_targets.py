"""Nets for regression, whose learning rate suits targets of unit size."""

from __future__ import annotations

from typing import Any


def on_unit_targets(net: Any) -> Any:
    """Return a net that is trained on standardised targets and predicts in their own unit."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    return TransformedTargetRegressor(net, transformer=StandardScaler())
