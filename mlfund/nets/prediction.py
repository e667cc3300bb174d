"""Raw scores of an MLP in numpy: no net is rebuilt to predict one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlfund.nets.activations import Activation, get_activation
from mlfund.nets.normalisation import Normalization, get_normalization


def raw_scores(
    X: Any,
    coefs: Sequence[np.ndarray],
    intercepts: Sequence[np.ndarray],
    *,
    activation: str | Activation,
    normalization: str | Normalization | None = None,
    normalization_position: str | None = None,
    layer_state: Sequence[Mapping[str, np.ndarray]] | None = None,
) -> np.ndarray:
    """Return raw scores, shape (n, k), as `MLP.forward` in evaluation mode.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n, d)
        Rows, in the dtype of the weights.
    coefs, intercepts : sequence of ndarray
        Weights (fan_in, fan_out) and biases (fan_out,) of the layers.
    activation : str or Activation
        Activation of the hidden layers.
    normalization : str, Normalization or None, default=None
        Normalisation of the hidden layers.
    normalization_position : {"before", "after"} or None, default=None
        Where it stands, seen from the activation; None is "before".
    layer_state : sequence of mapping of str to ndarray, optional
        `MLP.layer_state` of the trained net; None for a net without any.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.nets.prediction import raw_scores
    >>> coefs, intercepts = [np.eye(2), np.ones((2, 1))], [np.zeros(2), np.zeros(1)]
    >>> raw_scores(np.array([[2.0, -3.0]]), coefs, intercepts, activation="relu")
    array([[2.]])
    """
    activate, norm = get_activation(activation), get_normalization(normalization)
    states = layer_state or [{}] * (len(coefs) - 1)
    hidden = X
    for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        hidden = hidden @ coef
        hidden += intercept
        if layer < len(coefs) - 1:
            state = states[layer]
            if normalization_position != "after":
                hidden = norm.numpy(hidden, state)
            activate.numpy_(hidden, state.get("slope"))
            if normalization_position == "after":
                hidden = norm.numpy(hidden, state)
    return hidden
