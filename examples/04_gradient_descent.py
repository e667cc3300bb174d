"""Gradient descent in all its forms: batch, mini-batch and online, and on a stream.

Handwritten digits (1,797 images of 8 x 8), ten classes. `solver="sgd"` descends on the
objective of `LogisticRegression`; `batch_size` says how many rows a step sees, `optimizer` and
`schedule` what a step is. The last part learns from chunks and never sees all rows at once.

Run with: python examples/04_gradient_descent.py
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from mlfund import LogisticRegression
from mlfund.optimizers import OPTIMIZERS
from mlfund.schedules import SCHEDULES

EPOCHS = 15
BARS = "▁▂▃▄▅▆▇█"


def sparkline(curve: list[float]) -> str:
    """Draw a loss curve in one line of text, on a logarithmic scale from 0.01 to 3."""
    share = (np.log10(np.clip(curve, 0.01, 3)) + 2) / (np.log10(3) + 2)
    return "".join(BARS[round(value * (len(BARS) - 1))] for value in share)


def main() -> None:
    """Fit, and print curves and accuracies."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

    def show(name: str, **options) -> None:
        model = LogisticRegression(
            solver="sgd", max_iter=EPOCHS, tol=0, n_iter_no_change=np.inf, **options
        )
        with warnings.catch_warnings():
            # All get the same few epochs, converged or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X_train, y_train)
        curve, score = model.loss_curve_, model.score(X_test, y_test)
        print(f"  {name:<14} {sparkline(curve)}  objective {curve[-1]:.3f}, accuracy {score:.3f}")

    print(f"objective over {EPOCHS} epochs, by rows of a step (plain steps):")
    for name, size in (("batch", "full"), ("mini-batch", 32), ("online", 1)):
        show(name, optimizer="sgd", schedule="constant", batch_size=size)
    print("by optimizer:")
    # Muon is left out: it is for the weight matrices of nets.
    for name in (name for name, entry in OPTIMIZERS.items() if not entry.per_matrix):
        show(name, optimizer=name, schedule="constant", learning_rate_init=0.02)
    print("by schedule, with Adam:")
    for name in SCHEDULES:
        show(name, optimizer="adam", schedule=name)

    exact = LogisticRegression(max_iter=1000).fit(X_train, y_train)
    print(f"the optimum: objective {exact.loss_curve_[-1]:.3f}, ", end="")
    print(f"accuracy {exact.score(X_test, y_test):.3f}")

    stream = LogisticRegression(solver="sgd")
    for start in range(0, len(X_train), 50):
        rows = slice(start, start + 50)
        stream.partial_fit(X_train[rows], y_train[rows], classes=np.arange(10))
    print(f"a stream, each row seen once: accuracy {stream.score(X_test, y_test):.3f}")


if __name__ == "__main__":
    main()
