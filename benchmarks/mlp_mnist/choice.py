"""How the large setting was chosen: candidates compared on the last 10,000 training digits.

``python -m benchmarks.mlp_mnist.choice`` fits each once to the first 50,000 (about ten minutes)
and prints a table. The test digits are not looked at. Accuracies of 10,000 digits have a
standard error of 0.12 percent, so that only the ends of the table differ for certain.
"""

from __future__ import annotations

from benchmarks._harness import table
from benchmarks.mlp_mnist import fit_once, load
from benchmarks.mlp_mnist.settings import LARGE, Setting

N_VALIDATION = 10_000
_SHORT = {
    "batch_size": 256,
    "max_iter": 12,
    "optimizer": "adamw",
    "learning_rate_init": 0.004,
    "weight_decay": 0.02,
    "schedule": "one_cycle",
    "alpha": 0.0,
    "normalization": "batch",
    "hidden_layer_sizes": (512, 512),
}
_LONGER = {**LARGE.parameters, "input_noise": 0.15, "max_iter": 14}
# The next candidate was thought of when those before it had been measured.
CANDIDATES = [
    Setting("512-512, 12 epochs", _SHORT),
    Setting("mixup", {**_SHORT, "mixup": 0.3}),
    Setting("mixup, gelu", {**_SHORT, "mixup": 0.3, "activation": "gelu"}),
    Setting("mixup, noise", {**_SHORT, "mixup": 0.3, "input_noise": 0.3}),
    Setting("dropout, noise", {**_SHORT, "dropout": 0.25, "input_noise": 0.3}),
    Setting("dropout, mixup", {**_SHORT, "dropout": 0.25, "mixup": 0.3}),
    Setting("all three", {**_SHORT, "dropout": 0.25, "mixup": 0.3, "input_noise": 0.3}),
    Setting("1024-512, 14 epochs", {**_LONGER, "hidden_layer_sizes": (1024, 512)}),
    LARGE.shortened(18),
]


def main() -> None:
    """Print the accuracy of each candidate on the held-out training digits."""
    (X, y), _ = load()
    train, held_out = (X[:-N_VALIDATION], y[:-N_VALIDATION]), (X[-N_VALIDATION:], y[-N_VALIDATION:])
    rows = []
    for candidate in CANDIDATES:
        fitted = fit_once(candidate, 0, train, held_out)
        accuracy = f"{100 * fitted['accuracy']:.2f}"
        rows.append({"candidate": candidate.name, "accuracy": accuracy, "epochs": fitted["epochs"]})
    print(table(rows))


if __name__ == "__main__":
    main()
