"""
The l1 path of a logistic regression
====================================

From the strongest penalty that leaves any weight to a weak one, each model starts from the
last. Few columns carry the signal: the share of them that is found, and the accuracy.
"""

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import l1_min_c

X, y = make_classification(
    n_samples=6000,
    n_features=60,
    n_informative=8,
    n_redundant=0,
    shuffle=False,
    flip_y=0.05,
    random_state=0,
)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

model = LogisticRegression(
    l1_ratio=1,
    solver="liblinear",
    intercept_scaling=1000,
    tol=1e-6,
    max_iter=100_000,
    warm_start=True,
)
strongest = l1_min_c(X_train, y_train, loss="log")
for C in strongest * np.logspace(0.2, 4, 12):
    model.set_params(C=C).fit(X_train, y_train)
    weight = np.abs(model.coef_[0])
    share = weight[:8].sum() / weight.sum()
    print(
        f"C={C:.2e}  weight on the signal {share:.3f}  accuracy {model.score(X_test, y_test):.4f}"
    )
