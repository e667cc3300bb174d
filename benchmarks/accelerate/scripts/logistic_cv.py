"""
Cross-validated paths of C
==========================

LogisticRegressionCV searches C by itself, for l2 and l1 penalties.
"""

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

X, y = make_classification(
    n_samples=4000,
    n_features=80,
    n_informative=10,
    n_redundant=10,
    flip_y=0.2,
    random_state=5,
)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

settings = {
    "Cs": np.logspace(-4, 1, 15),
    "cv": 5,
    "scoring": "neg_log_loss",
    "use_legacy_attributes": False,
    "max_iter": 5000,
    "random_state": 0,
}
for title, more in {
    "l2, lbfgs": {"l1_ratios": (0,)},
    "l2, newton-cholesky": {"l1_ratios": (0,), "solver": "newton-cholesky"},
    "l1, liblinear": {"l1_ratios": (1,), "solver": "liblinear"},
    "elastic net, saga": {"l1_ratios": (0.2, 0.8), "solver": "saga", "Cs": np.logspace(-3, 0, 5)},
}.items():
    model = LogisticRegressionCV(**(settings | more)).fit(X_train, y_train)
    proba = model.predict_proba(X_test)
    print(
        f"{title}: best mean score {model.scores_.mean(0).max():.4f}, test log-loss "
        f"{log_loss(y_test, proba):.4f}, AUC {roc_auc_score(y_test, proba[:, 1]):.4f}"
    )
    path = model.scores_.mean(0)[0][:: len(model.Cs_) // 5]
    print("   ", " ".join(f"{score:.4f}" for score in path))
