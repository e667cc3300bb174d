"""Train a network as a practitioner would: own validation rows, class weights, dropout, a schedule.

The task is to find the eights among handwritten digits: one row in ten. The example trains
scikit-learn's settings first and then adds, step by step, what mlfund's MLPs take beside them;
it prints the scores of each on rows that no training has seen, and draws the last training.
With some ninety eights to test on, differences of a hundredth say little.

Run it with ``python examples/09_training_a_network.py``: some seconds, no network. The picture
needs matplotlib.
"""

import tempfile
import warnings
from pathlib import Path

import sklearn
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import MLPClassifier

# The pipeline hands X_val, y_val and what else a step asks for to its last step.
sklearn.set_config(enable_metadata_routing=True)
warnings.simplefilter("ignore", ConvergenceWarning)  # the schedules end with max_iter

PLAIN = {"hidden_layer_sizes": (256,), "max_iter": 60, "random_state": 0}
STEPS = {
    "scikit-learn's settings": {},
    "+ classes of equal weight": {"class_weight": "balanced"},
    "+ dropout and noise on the input": {"dropout": 0.5, "input_noise": 0.5},
    "+ AdamW under one cycle": {
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "schedule": "one_cycle",
        "learning_rate_init": 0.01,
    },
    "+ the best epoch for validation": {
        "early_stopping": True,
        "scoring": "average_precision",
        "n_iter_no_change": 30,
    },
}


def data():
    """Return rows to train on, to validate on and to test, 30 %, 20 % and 50 %."""
    X, digit = load_digits(return_X_y=True)
    y = digit == 8
    X_seen, X_test, y_seen, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=0
    )
    X_train, X_val, y_train, y_val = train_test_split(
        X_seen, y_seen, test_size=0.4, stratify=y_seen, random_state=0
    )
    return (X_train, y_train), (X_val, y_val), (X_test, y_test)


def fitted(parameters, train, valid):
    """Return a pipeline trained on `train`, watched on `valid`: scaled as the training rows are."""
    net = MLPClassifier(**parameters).set_fit_request(X_val=True, y_val=True)
    model = Pipeline([("scale", StandardScaler()), ("net", net)], transform_input=["X_val"])
    return model.fit(*train, X_val=valid[0], y_val=valid[1])


def main():
    """Add one thing after the other, then look at the last training."""
    train, valid, (X_test, y_test) = data()
    print(f"{len(train[1])} rows to train on, {int(train[1].sum())} of them eights\n")
    print(f"{'':34}{'balanced accuracy':>18}{'average precision':>19}")
    parameters = dict(PLAIN)
    for name, added in STEPS.items():
        parameters |= added
        model = fitted(parameters, train, valid)
        accuracy = balanced_accuracy_score(y_test, model.predict(X_test))
        precision = average_precision_score(y_test, model.predict_proba(X_test)[:, 1])
        print(f"{name:34}{accuracy:18.3f}{precision:19.3f}")

    net = model["net"]
    print(f"\nThe last training: {net.n_iter_} epochs, best {net.best_validation_score_:.3f}")
    columns = ["epoch", "train_loss", "valid_loss", "valid_score", "lr", "gradient_norm"]
    print(net.history_[columns].iloc[::10].round(4).to_string(index=False))

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "training.png"
        net.plot_history()[0].figure.savefig(picture)
        print(f"\nplot_history drew a picture of {picture.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
