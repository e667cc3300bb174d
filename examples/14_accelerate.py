"""The same scikit-learn program twice: as it is, and with its names replaced by mlfund's.

Nothing in `study` knows of mlfund. ``python -m mlfund.accelerate script.py`` does the same to a
whole script.
"""

from time import perf_counter

import numpy as np

from mlfund import accelerate


def study() -> float:
    """Search the strength and kind of a logistic regression's penalty, as for scikit-learn."""
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = make_classification(2000, 30, n_informative=10, flip_y=0.1, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    grid = {
        "logisticregression__C": np.logspace(-3, 1, 10),
        "logisticregression__class_weight": [None, "balanced"],
    }
    search = GridSearchCV(model, grid, scoring="neg_log_loss").fit(X, y)
    print(f"  best log-loss {-search.best_score_:.4f} with {search.best_params_}")
    print(f"  best model: {type(search.best_estimator_[-1])}")
    return search.best_score_


print("scikit-learn:")
start = perf_counter()
own = study()
print(f"  {perf_counter() - start:.2f} seconds")

print("with mlfund in its place:")
with accelerate.install() as acceleration:
    study()  # the first call imports mlfund's solvers
    start = perf_counter()
    ours = study()
    print(f"  {perf_counter() - start:.2f} seconds")

assert abs(own - ours) < 1e-3
print(acceleration)
