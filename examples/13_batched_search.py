"""Change one word and search faster: GridSearchCV against BatchedGridSearchCV.

The table is Adult (who earns over 50,000 dollars a year?), a sample of its census rows with
numbers and categories. Each pipeline is searched twice over the same folds: by scikit-learn's
search, which fits every candidate on every fold, and by the batched one, which trains them
together. Scores and choice agree; both times are printed.

Run with: python examples/13_batched_search.py
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from mlfund import BatchedGridSearchCV, LogisticRegression, MLPClassifier, TablePreprocessor
from mlfund.advisor.demo import load_adult

ROWS = 2500


def search(kind: type[GridSearchCV], model: object, grid: dict) -> tuple[GridSearchCV, float]:
    """Fit a search; return it and the seconds it took."""
    X, y = load_adult()
    chosen = np.random.default_rng(0).permutation(len(X))[:ROWS]
    pipeline = Pipeline([("table", TablePreprocessor()), ("model", model)])
    searched = kind(pipeline, grid, scoring="neg_log_loss", cv=4, refit=False)
    start = time.perf_counter()
    searched.fit(X.iloc[chosen], y.iloc[chosen])
    return searched, time.perf_counter() - start


def compare(title: str, model: object, grid: dict) -> None:
    """Search twice; print what was found, how far the scores are apart, and the times."""
    theirs, their_seconds = search(GridSearchCV, model, grid)
    ours, our_seconds = search(BatchedGridSearchCV, model, grid)
    scores = [found.cv_results_["mean_test_score"] for found in (ours, theirs)]
    print(f"{title}: {len(scores[0])} candidates x {ours.n_splits_} folds")
    print(f"  best         {ours.best_params_}, log loss {-ours.best_score_:.4f}")
    print(f"  same choice  {ours.best_params_ == theirs.best_params_}")
    print(f"  scores differ by at most {np.abs(scores[0] - scores[1]).max():.1e}")
    print(f"  in stacks    {ours.cv_results_['batched'].sum()} candidates")
    print(f"  GridSearchCV {their_seconds:6.2f} s,  BatchedGridSearchCV {our_seconds:6.2f} s\n")


def main() -> None:
    """Search a logistic regression and a small perceptron."""
    # eight epochs are enough to compare candidates
    warnings.simplefilter("ignore", ConvergenceWarning)
    compare(
        "logistic regression",
        LogisticRegression(max_iter=1000, tol=1e-6),
        {"model__C": np.logspace(-3, 2, 10)},
    )
    compare(
        "perceptron with 16 hidden units",
        MLPClassifier(hidden_layer_sizes=(16,), max_iter=8, random_state=0),
        {"model__learning_rate_init": [1e-3, 3e-3, 1e-2], "model__alpha": [1e-4, 1e-2, 1.0]},
    )


if __name__ == "__main__":
    main()
