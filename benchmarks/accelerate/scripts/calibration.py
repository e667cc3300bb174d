"""
Are the probabilities right?
============================

Logistic regression is calibrated by itself; naive Bayes and a logistic regression with
balanced classes are not, until they are calibrated by cross-validation.
"""

import numpy as np
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = make_classification(
    n_samples=40_000,
    n_features=40,
    n_informative=4,
    n_redundant=20,
    weights=[0.9],
    random_state=42,
)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=0.5, random_state=42)

logistic = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
balanced = make_pipeline(
    StandardScaler(), LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
)
models = {
    "logistic": logistic,
    "naive Bayes": GaussianNB(),
    "naive Bayes, isotonic": CalibratedClassifierCV(GaussianNB(), cv=3, method="isotonic"),
    "balanced": balanced,
    "balanced, sigmoid": CalibratedClassifierCV(balanced, cv=5, method="sigmoid"),
}
for name, model in models.items():
    proba = model.fit(X_train, y_train).predict_proba(X_test)[:, 1]
    seen, said = calibration_curve(y_test, proba, n_bins=8, strategy="quantile")
    print(
        f"{name}: Brier {brier_score_loss(y_test, proba):.4f}, "
        f"log-loss {log_loss(y_test, proba):.4f}, AUC {roc_auc_score(y_test, proba):.4f}, "
        f"gap {np.abs(seen - said).mean():.4f}"
    )
