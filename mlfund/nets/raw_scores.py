"""A module whose output is read as raw scores, whatever the module itself returns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlfund._check import check_choice

OUTPUTS = ("raw", "proba", "log_proba")
KINDS = ("binary", "multiclass", "multilabel", "real")


class RawScores(nn.Module):
    """Put a module of any output before losses that take raw scores.

    Losses take raw scores of shape (n, k), k = 1 for a binary target. A module may
    return (n,) in place of (n, 1), two columns for a binary target, or probabilities or
    their logarithms: each is mapped to the raw scores whose inverse link gives the same
    probabilities, so that every loss applies and `predict_proba` is the module's own.

    Parameters
    ----------
    module : torch.nn.Module
        The module; its parameters are those of this one.
    output : {"raw", "proba", "log_proba"}, default="raw"
        What it returns.
    kind : {"binary", "multiclass", "multilabel", "real"}, default="real"
        The kind of target that the scores are for. "real" takes "raw" alone.

    Notes
    -----
    Two binary scores a, b become the log-odds b - a: their softmax is its logistic
    function. Probabilities p become log(p + eps), eps the rounding unit of the dtype: a
    probability that has underflowed keeps a finite loss and a gradient.

    Examples
    --------
    >>> import torch
    >>> from mlfund.nets.raw_scores import RawScores
    >>> net = RawScores(torch.nn.Softmax(dim=1), output="proba", kind="multiclass")
    >>> torch.softmax(net(torch.tensor([[0.0, 1.0, 2.0]])), dim=1).round(decimals=3)
    tensor([[0.0900, 0.2450, 0.6650]])
    """

    def __init__(self, module: nn.Module, *, output: str = "raw", kind: str = "real") -> None:
        super().__init__()
        check_choice("output", output, OUTPUTS if kind != "real" else OUTPUTS[:1])
        self.module = module
        self.output = output
        self.kind = check_choice("kind", kind, KINDS)

    def forward(self, X: Tensor) -> Tensor:
        """Return raw scores, shape (n, k), of the rows X."""
        out: Tensor = self.module(X)
        if out.ndim == 1:
            out = out.unsqueeze(1)
        if self.kind == "multilabel" or out.shape[1] == 1:
            return self._log_odds(out)
        if self.output == "proba":
            out = _log(out)
        return out[:, 1:] - out[:, :1] if self.kind == "binary" else out

    def _log_odds(self, out: Tensor) -> Tensor:
        """Return the log-odds of each column on its own."""
        if self.output == "proba":
            return _log(out) - _log(1 - out)
        if self.output == "log_proba":
            return out - _log(-torch.expm1(out))
        return out


def _log(proba: Tensor) -> Tensor:
    return torch.log(proba + torch.finfo(proba.dtype).eps)
