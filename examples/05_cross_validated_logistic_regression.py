"""Choose C by cross-validation: a table of C x fold, and what the choice is worth.

Fifty models, 10 values of C on 5 folds, are solved together as one problem. The data are
breast-cancer measurements; a third of the rows is held out for the final comparison.

Run with: python examples/05_cross_validated_logistic_regression.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from mlfund import LogisticRegression, LogisticRegressionCV


def print_scores(model: LogisticRegressionCV) -> None:
    """Print a line for each C: every fold's log loss, mean, standard error, coefficients."""
    losses = -model.scores_[:, 0]
    mean = losses.mean(axis=0)
    error = losses.std(axis=0, ddof=1) / np.sqrt(len(losses))
    norms = np.linalg.norm(model.coefs_paths_[:, 0, :, 0, :-1], axis=-1).mean(axis=0)
    folds = " ".join(f"fold {f + 1}" for f in range(len(losses)))
    print(f"{'C':>9}  {folds}    mean  +-  error   |w|")
    for c, C in enumerate(model.Cs_):
        scores = " ".join(f"{loss:6.3f}" for loss in losses[:, c])
        mark = "  <- best" if model.C_ == C else ""
        print(f"{C:9.3g}  {scores}  {mean[c]:6.3f}  +- {error[c]:.3f} {norms[c]:7.2f}{mark}")


def main() -> None:
    """Fit the path, show it, and compare the choice with the default C on new rows."""
    X, y = load_breast_cancer(return_X_y=True)
    X, X_new, y, y_new = train_test_split(X, y, test_size=0.33, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X)
    X, X_new = scaler.transform(X), scaler.transform(X_new)

    model = LogisticRegressionCV(
        Cs=10, l1_ratios=(0,), cv=5, scoring="neg_log_loss", use_legacy_attributes=False
    ).fit(X, y)
    print(f"log loss on held-out folds, {model.scores_.size} models, solver {model.solver_}\n")
    print_scores(model)

    print("\nlog loss on the rows that were held out of all this:")
    for name, fitted in (
        (f"C={model.C_:.3g}, chosen", model),
        ("C=1, the default", LogisticRegression().fit(X, y)),
        ("C=1e4, hardly any", LogisticRegression(C=1e4, max_iter=1000).fit(X, y)),
    ):
        print(f"  {name:20} {log_loss(y_new, fitted.predict_proba(X_new)):.3f}")


if __name__ == "__main__":
    main()
