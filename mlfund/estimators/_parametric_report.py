"""The fitted parameters as a table: data frame, text and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlfund.estimators._parametric_covariance import quantile_of_t

LEVEL = 0.95


class Text(str):
    """A text that shows itself as it prints, also at the end of a notebook cell."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def parameter_table(
    labels: Sequence[str],
    theta: np.ndarray,
    covariance: np.ndarray,
    dof: float,
    at_bound: np.ndarray,
) -> pd.DataFrame:
    """Return value, standard error, 95 % interval and whether at a bound, by parameter."""
    error = np.sqrt(np.diag(covariance))
    reach = quantile_of_t(LEVEL, dof) * error
    return pd.DataFrame(
        {
            "value": theta,
            "standard_error": error,
            "low_95": theta - reach,
            "high_95": theta + reach,
            "at_bound": at_bound,
        },
        index=pd.Index(labels, name="parameter"),
    )


def summary_text(model: Any) -> Text:
    """Return the fit in words and numbers, one line a parameter."""
    table = model.parameter_table_
    head = [
        f"{model._function_name} fitted to {model.n_samples_fit_} rows by {model._loss_name}",
        f"{model.solver_}: {model.message_} after {model.n_iter_} iterations",
        f"loss {model.loss_:.6g}, residual standard deviation {model.residual_std_:.6g}, "
        f"{model.degrees_of_freedom_:g} degrees of freedom",
    ]
    shown = pd.DataFrame(
        {
            "value": [f"{value:.7g}" for value in table["value"]],
            "std. error": [_error(row) for row in table.itertuples()],
            "95 % interval": [_interval(row) for row in table.itertuples()],
        },
        index=table.index,
    )
    shown.index.name = None
    return Text("\n".join([*head, "", shown.to_string(justify="right")]))


def table_html(model: Any) -> str:
    """Return the parameter table for a notebook, escaped."""
    table = model.parameter_table_
    return (
        '<div style="margin: 0.5em 0">'
        + table.to_html(float_format=lambda value: f"{value:.6g}", na_rep="not determined")
        + "</div>"
    )


def _error(row: Any) -> str:
    if row.at_bound:
        return "at bound"
    return "unknown" if np.isnan(row.standard_error) else f"{row.standard_error:.3g}"


def _interval(row: Any) -> str:
    return "" if np.isnan(row.low_95) else f"{row.low_95:.5g} to {row.high_95:.5g}"
