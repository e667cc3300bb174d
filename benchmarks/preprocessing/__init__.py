"""Preprocessing of a mixed table: mlfund against scikit-learn's ColumnTransformer and skrub.

Adult (48,842 rows, 6 numbers, 8 categories with missing values) is fitted and transformed at
once, and then, by the fitted transformer, one row at a time from a DataFrame, as a model that
answers single requests does. All impute numbers by the median, standardise them, and one-hot
encode the categories with a place for rare or unseen levels. The claim: at most 0.5 s for all
rows and 3 ms for one.

That outputs carry the same information is checked by what they are for: ROC-AUC of one
logistic regression on held-out rows, the same for all.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks._harness import installed, interleave, shared_data, summarise, table
from benchmarks.preprocessing import column_transformer, mlfund_table, skrub_vectorizer

COMPETITORS = {
    "mlfund": mlfund_table.make,
    "scikit-learn": column_transformer.make,
    "skrub": skrub_vectorizer.make,
}
REPEATS, ROUNDS_OF_ONE_ROW = 5, 50
MOST_SECONDS, MOST_MS_ONE_ROW = 0.5, 3.0


def run(quick: bool = False) -> dict[str, Any]:
    """Time fit_transform of all rows and transform of one row, in turn."""
    X, y = _adult(2000 if quick else None)
    makers = {name: make for name, make in COMPETITORS.items() if name != "skrub" or _has_skrub()}
    all_rows = interleave(
        {name: lambda make=make: make(X).fit_transform(X) for name, make in makers.items()},
        1 if quick else REPEATS,
        warmup=1,
    )
    fitted = {name: make(X).fit(X) for name, make in makers.items()}
    one = X.iloc[[5]]
    one_row = interleave(
        {name: partial(transformer.transform, one) for name, transformer in fitted.items()},
        5 if quick else ROUNDS_OF_ONE_ROW,
        warmup=3,
    )
    return {
        "repeats": 1 if quick else REPEATS,
        "rows": len(X),
        "skipped": [] if _has_skrub() else ["skrub (pip install skrub)"],
        "fit_transform": summarise(all_rows, reference="mlfund"),
        "one_row": summarise(one_row, reference="mlfund"),
        "quality": [_quality(name, make, X, y) for name, make in makers.items()],
    }


def _has_skrub() -> bool:
    return installed("skrub")


def _adult(n_rows: int | None) -> tuple[pd.DataFrame, np.ndarray]:
    """Return Adult with its categories as strings, as they come from a csv file."""
    data = pd.read_parquet(shared_data() / "tabular" / "adult.parquet")
    data = data if n_rows is None else data.sample(n_rows, random_state=0)
    y = (data.pop("income") == ">50K").to_numpy()
    names = data.select_dtypes("category").columns
    return data.astype(dict.fromkeys(names, "str")), y


def _quality(name: str, make: Any, X: pd.DataFrame, y: np.ndarray) -> dict[str, Any]:
    order = np.random.default_rng(0).permutation(len(X))
    train, test = np.split(order, [len(X) * 2 // 3])
    transformer = make(X)
    model = LogisticRegression(max_iter=500).fit(transformer.fit_transform(X.iloc[train]), y[train])
    outputs = transformer.transform(X.iloc[test])
    auc = roc_auc_score(y[test], model.predict_proba(outputs)[:, 1])
    return {"name": name, "outputs": outputs.shape[1], "roc_auc": float(auc)}


def report(result: dict[str, Any]) -> str:
    """Format the outcome: three tables and the verdict."""
    seconds = ["name", "median_seconds", "min_seconds", "spread", "ratio"]
    one_row = [
        {
            "name": row["name"],
            "median_ms": 1e3 * row["median_seconds"],
            "min_ms": 1e3 * row["min_seconds"],
            "ratio": row["ratio"],
        }
        for row in result["one_row"]
    ]
    of_mlfund = result["fit_transform"][0]["median_seconds"], one_row[0]["median_ms"]
    within = of_mlfund[0] <= MOST_SECONDS and of_mlfund[1] <= MOST_MS_ONE_ROW
    parts = [
        f"fit_transform of {result['rows']} rows of Adult",
        table(result["fit_transform"], seconds),
        "transform of a one-row DataFrame",
        table(one_row),
        "logistic regression on the outputs, held-out rows",
        table(result["quality"]),
        f"mlfund: {of_mlfund[0]:.3f} s and {of_mlfund[1]:.2f} ms, "
        f"{'within' if within else 'NOT within'} {MOST_SECONDS} s and {MOST_MS_ONE_ROW} ms",
    ]
    if result["skipped"]:
        parts.append("not installed, left out: " + ", ".join(result["skipped"]))
    return "\n\n".join(parts)
