"""Replace scikit-learn's MLPClassifier by mlfund's: same curve, then more than it can do.

Run it with ``python examples/02_mlp_classifier.py``; it takes a few seconds and no network.
"""

import warnings
from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as SklearnMLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import MLPClassifier

warnings.simplefilter("ignore", ConvergenceWarning)  # short trainings on purpose

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# 1. One import changed: the same parameters, the same seed, the same training.
curves = {}
for name, kind in [("scikit-learn", SklearnMLPClassifier), ("mlfund", MLPClassifier)]:
    model = make_pipeline(StandardScaler(), kind(max_iter=20, random_state=0))
    model.fit(X_train[:50], y_train[:50])  # torch loads parts of itself in the first fit
    start = perf_counter()
    model.fit(X_train, y_train)
    seconds = perf_counter() - start
    curves[name] = np.array(model[-1].loss_curve_)
    print(f"{name:13} {model.score(X_test, y_test):.3f} test accuracy, fit in {seconds:.2f} s")
gap = np.abs(curves["mlfund"] - curves["scikit-learn"]).max()
print(f"largest difference between the loss curves of 20 epochs: {gap:.1e}")

# 2. What scikit-learn's cannot do: another optimizer, a schedule, dropout, class weights.
model = make_pipeline(
    StandardScaler(),
    MLPClassifier(
        (256, 128),
        optimizer="adamw",
        weight_decay=0.01,
        schedule="one_cycle",
        learning_rate_init=0.01,
        dropout=0.3,
        class_weight="balanced",
        initializer="he_normal",
        batch_size=64,
        max_iter=30,
        random_state=0,
    ),
)
model.fit(X_train, y_train)
loss = log_loss(y_test, model.predict_proba(X_test))
print(f"adamw, one cycle, dropout: {model.score(X_test, y_test):.3f}, test log-loss {loss:.3f}")

# 3. The training as a table, one row an epoch.
print(model[-1].history_.iloc[[0, 9, 19, 29]].round(4).to_string(index=False))
