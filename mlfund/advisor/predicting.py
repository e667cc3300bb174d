"""Predictions for a new file by a saved pipeline: match the columns, keep the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError, nearest

# Kinds of TablePreprocessor in which "007" is not 7.
_TEXT_KINDS = ("categorical", "text", "datetime")


def text_columns(model: Any) -> list[str]:
    """Return the columns that were no numbers when the model was fitted.

    In a new file such a column may happen to hold only digits; it is then read as text.
    """
    kinds: dict[Any, str] = {}
    for _, step in getattr(model, "steps", [("model", model)]):
        kinds.update(getattr(step, "column_kinds_", {}))
    return [str(name) for name, kind in kinds.items() if kind in _TEXT_KINDS]


def match_columns(model: Any, frame: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns the model was fitted on, in its order.

    Parameters
    ----------
    model : estimator
        Fitted on a DataFrame.
    frame : DataFrame of shape (n, d)
        The new rows.
    file : str
        Name of the file, for messages.

    Returns
    -------
    X : DataFrame of shape (n, d)
        Ready for the model.
    notes : list of str
        A sentence about columns that were left out.

    Raises
    ------
    DataError
        If the model knows no column names or a column is missing.
    """
    known = getattr(model, "feature_names_in_", None)
    if known is None:
        raise DataError(
            "The model does not know column names, so a file cannot be matched to it; "
            "fit it on a DataFrame with text column names."
        )
    names = [str(name) for name in known]
    missing = [name for name in names if name not in frame.columns]
    extra = [str(name) for name in frame.columns if name not in set(names)]
    if missing:
        raise DataError(_missing_message(file, missing, extra))
    notes = []
    if extra:
        notes.append(
            f"{file} has {_listed(extra)} that the model was not fitted on; "
            f"{'it was' if len(extra) == 1 else 'they were'} left out."
        )
    return frame[names], notes


def predict_frame(model: Any, X: Any) -> pd.DataFrame:
    """Return one row of predictions for each row, in order.

    Returns
    -------
    table : DataFrame of shape (n, 1 + k)
        ``prediction``, and for a classifier ``probability_<label>`` of each class.
    """
    classes = getattr(model, "classes_", None)
    if classes is None or not hasattr(model, "predict_proba"):
        return pd.DataFrame({"prediction": np.asarray(model.predict(X)).ravel()})
    proba = np.asarray(model.predict_proba(X))
    # from the same numbers, so that the label always has the highest probability beside it
    columns = {"prediction": np.asarray(classes)[proba.argmax(axis=1)]}
    columns |= {f"probability_{label}": proba[:, j] for j, label in enumerate(classes)}
    return pd.DataFrame(columns)


def _missing_message(file: str, missing: list[str], extra: list[str]) -> str:
    message = f"{file} lacks {_listed(missing)} that the model needs"
    renamed = nearest(missing[0], extra)
    if renamed is not None:
        return f"{message}; is {missing[0]!r} the one called {renamed!r} there?"
    return f"{message}."


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"the column{'s' if len(names) > 1 else ''} {shown}{more}"
