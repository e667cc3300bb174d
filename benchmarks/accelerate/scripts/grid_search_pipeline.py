"""
A grid search over a pipeline
=============================

The scaler is fitted on the training rows of each fold, inside the search.
"""

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

X, y = make_classification(
    n_samples=10_000, n_features=60, n_informative=20, n_redundant=20, flip_y=0.1, random_state=1
)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)

pipeline = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression(max_iter=1000))])
search = GridSearchCV(
    pipeline,
    {"model__C": np.logspace(-4, 2, 20), "model__class_weight": [None, "balanced"]},
    scoring=["neg_log_loss", "roc_auc", "accuracy"],
    refit="neg_log_loss",
    cv=StratifiedKFold(5, shuffle=True, random_state=0),
)
search.fit(X_train, y_train)

table = pd.DataFrame(search.cv_results_).set_index(["param_model__class_weight", "param_model__C"])
means = table[["mean_test_neg_log_loss", "mean_test_roc_auc", "mean_test_accuracy"]]
print(means.iloc[:: len(means) // 8].to_string(float_format="{:.4f}".format))
print(f"best mean log-loss: {-search.best_score_:.4f}")
print(classification_report(y_test, search.predict(X_test), digits=4))
