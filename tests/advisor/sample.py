"""A realistic `Advice.to_dict()` for tests that need no benchmark."""

from __future__ import annotations

from typing import Any


def _row(name: str, family: str, mean: float, **known: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "family": family,
        "status": "ok",
        "score_mean": mean,
        "score_std": 0.004,
        "metrics": {"log_loss": mean, "accuracy": 1.0 - mean / 2, "roc_auc": 1.0 - mean / 4},
        "diff_to_best": mean - 0.277,
        "diff_ci95": [mean - 0.277 - 0.003, mean - 0.277 + 0.003],
        "verdict": "worse",
        "fit_seconds": 3.1,
        "latency_ms_p50": 4.2,
        "latency_ms_p95": 5.0,
        "peak_memory_bytes": 123_456_789,
        "model_bytes": 1_234_567,
        "fold_scores": [mean - 0.004, mean - 0.002, mean, mean + 0.002, mean + 0.004],
    }
    return row | known


def sample_advice_dict() -> dict[str, Any]:
    """Return one advice on the Adult data, with a failed and a skipped candidate."""
    nothing = dict.fromkeys(
        [
            "score_mean",
            "score_std",
            "diff_to_best",
            "diff_ci95",
            "verdict",
            "fit_seconds",
            "latency_ms_p50",
            "latency_ms_p95",
            "peak_memory_bytes",
            "model_bytes",
        ]
    )
    return {
        "schema_version": 1,
        "status": "complete",
        "data": {
            "file": "adult.parquet",
            "rows": 48842,
            "rows_used": 48840,
            "columns": 3,
            "target": "income",
            "task": "classification",
            "task_reason": "The target 'income' holds 2 labels that are text.",
            "classes": ["<=50K", ">50K"],
            "positive": ">50K",
        },
        "profile": {
            "rows": 48840,
            "columns": 3,
            "kinds": {"numeric": 2, "categorical": 1},
            "missing_cells": 2799,
            "missing_share": 0.0191,
            "infinite_cells": 0,
            "duplicated_rows": 52,
            "memory_bytes": 2_000_000,
            "rows_without_target": 2,
            "classes_dropped": [],
            "constant_columns": ["country"],
            "empty_columns": [],
            "suspected_identifiers": ["fnlwgt_id"],
            "features": [
                {
                    "name": "age",
                    "kind": "numeric",
                    "dtype": "int64",
                    "missing": 0,
                    "missing_share": 0.0,
                    "infinite": 0,
                    "distinct": 74,
                    "min": 17.0,
                    "max": 90.0,
                    "mean": 38.6,
                    "std": 13.7,
                },
                {
                    "name": "workclass",
                    "kind": "categorical",
                    "dtype": "category",
                    "missing": 2799,
                    "missing_share": 0.0573,
                    "infinite": 0,
                    "distinct": 8,
                    "most_frequent": "Private",
                    "most_frequent_share": 0.736,
                },
            ],
            "target": {
                "name": "income",
                "classes": [
                    {"label": "<=50K", "rows": 37155, "share": 0.7607},
                    {"label": ">50K", "rows": 11685, "share": 0.2393},
                ],
            },
        },
        "leakage": [
            {
                "code": "identifier",
                "severity": "warning",
                "columns": ["fnlwgt_id"],
                "message": "Column 'fnlwgt_id' has a different value in every row.",
                "fix": "Leave it out with --ignore fnlwgt_id if it only names the row.",
                "evidence": {"distinct": 48840, "rows": 48840},
            }
        ],
        "protocol": {
            "folds": 5,
            "repeats": 1,
            "metric": "log_loss",
            "greater_is_better": False,
            "practical_equivalence": 0.0055,
            "split": "stratified",
            "seed": 0,
            "isolated": True,
            "threads": 2,
            "notes": [],
        },
        "leaderboard": [
            _row("xgboost", "gradient_boosting", 0.277, verdict="better", diff_ci95=[0.0, 0.0]),
            _row("random_forest", "tree_ensemble", 0.305, model_bytes=80_000_000),
            _row("logistic_regression", "linear", 0.316, fit_seconds=0.6),
            _row("prior", "baseline", 0.551, fit_seconds=0.01),
            {
                "name": "mlp",
                "family": "neural_network",
                "metrics": {},
                "fold_scores": [],
                "status": "failed: MemoryError: cannot allocate 3 GiB",
            }
            | nothing,
            {
                "name": "slow_model",
                "family": "ensemble",
                "metrics": {},
                "fold_scores": [],
                "status": "skipped: the time budget of 60 s was used up",
            }
            | nothing,
        ],
        "recommendation": {
            "name": "xgboost",
            "family": "gradient_boosting",
            "estimator": "gradient boosted trees (XGBoost)",
            "confidence": 0.998,
            "summary": "Use gradient boosted trees (XGBoost): log-loss 0.277 over 5 folds.",
            "reasons": [
                "It has the best log-loss of 4 candidates.",
                "It is better than random_forest by 0.028 (95 % interval 0.025 to 0.031).",
            ],
            "cost": "One fit takes 3.1 s and 124 MB, one row 4.2 ms; the model takes 1.2 MB.",
            "deep_learning": "Traditional machine learning: no neural network finished.",
            "would_change": ["A limit of 1 ms a row would exclude it."],
            "alternatives": [
                {
                    "name": "logistic_regression",
                    "family": "linear",
                    "reason": "It can be read as a table of weights, for 0.039 more log-loss.",
                }
            ],
        },
        "budget": {"requested_seconds": None, "used_seconds": 93.4},
        "environment": {
            "cpu": "a CPU",
            "cores": 2,
            "memory_bytes": 24_000_000_000,
            "load_average": [0.5, 0.4, 0.3],
            "os": "Linux 6.1 x86_64",
            "python": "3.11.7",
            "versions": {"numpy": "2.4.6", "mlfund": "0.1.0"},
        },
        "warnings": ["2 rows without a target were dropped."],
        "importance": [
            {"feature": "age", "mean": 0.051, "std": 0.002},
            {"feature": "workclass", "mean": 0.004, "std": 0.001},
            {"feature": "fnlwgt_id", "mean": -0.0002, "std": 0.0004},
        ],
        "learning_curves": [
            {
                "name": "xgboost",
                "points": [
                    {"rows": 3907, "score_mean": 0.31, "score_std": 0.004},
                    {"rows": 11721, "score_mean": 0.29, "score_std": 0.004},
                    {"rows": 39072, "score_mean": 0.277, "score_std": 0.004},
                ],
            }
        ],
        "code": "import mlfund\n\nprint(mlfund.__version__)\n",
    }
