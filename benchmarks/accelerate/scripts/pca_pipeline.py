"""
Chaining PCA and a logistic regression
======================================

How many components, and how strong a penalty? One search answers both.
"""

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)

pipe = Pipeline(
    steps=[
        ("scaler", StandardScaler()),
        ("pca", PCA(svd_solver="full")),
        ("logistic", LogisticRegression(max_iter=10_000)),
    ]
)
grid = {"pca__n_components": [10, 20, 40, 60], "logistic__C": np.logspace(-3, -1, 7)}
search = GridSearchCV(pipe, grid, n_jobs=2, scoring="neg_log_loss").fit(X, y)

results = pd.DataFrame(search.cv_results_)
for n_components, rows in results.groupby("param_pca__n_components"):
    scores = " ".join(f"{score:.4f}" for score in rows["mean_test_score"])
    print(f"{n_components} components: {scores}")
print(f"best log-loss by cross-validation: {-search.best_score_:.4f}")
print(f"of all rows: {-search.score(X, y):.4f}")
