"""Drop-ins keep scikit-learn's parameters; the page of added ones agrees with the code."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path

import pytest
import sklearn.linear_model
import sklearn.neural_network

import mlfund

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "parameters.md").read_text()
PEERS = {
    mlfund.LogisticRegression: sklearn.linear_model.LogisticRegression,
    mlfund.LogisticRegressionCV: sklearn.linear_model.LogisticRegressionCV,
    mlfund.MLPClassifier: sklearn.neural_network.MLPClassifier,
    mlfund.MLPRegressor: sklearn.neural_network.MLPRegressor,
}


def section(name):
    return next(part for part in re.split(r"^## ", PAGE, flags=re.M) if name in part.split("\n")[0])


@pytest.mark.parametrize("ours", PEERS, ids=lambda cls: cls.__name__)
def test_scikit_learns_parameters_keep_name_default_order_and_kind(ours):
    mine = inspect.signature(ours).parameters
    theirs = inspect.signature(PEERS[ours]).parameters
    kept = [p.replace(annotation=p.empty) for name, p in mine.items() if name in theirs]
    assert kept == [p.replace(annotation=p.empty) for p in theirs.values()]


@pytest.mark.parametrize("ours", PEERS, ids=lambda cls: cls.__name__)
def test_added_parameters_default_to_none_and_are_on_the_page(ours):
    mine = inspect.signature(ours).parameters
    theirs = inspect.signature(PEERS[ours]).parameters
    added = {name: p for name, p in mine.items() if name not in theirs}
    assert all(p.default is None and p.kind is p.KEYWORD_ONLY for p in added.values())
    missing = [name for name in added if f"| `{name}`" not in section(ours.__name__)]
    assert missing == []


@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_what_a_cnn_has_beside_an_mlp_or_sets_otherwise_is_on_the_page(kind):
    mine = inspect.signature(getattr(mlfund, f"CNN{kind}")).parameters
    theirs = inspect.signature(getattr(mlfund, f"MLP{kind}")).parameters
    rows = dict(re.findall(r"^\| `(\w+)`(?: \(classifier\))? \| ([^|]+) \|", section("CNN"), re.M))
    for name, p in mine.items():
        if name not in theirs or p.default != theirs[name].default:
            default = {math.inf: "infinity", 0.0: "0"}.get(p.default, repr(p.default))
            assert rows[name].strip("`").replace('"', "'") == default, name
    assert rows.keys() <= {*mine, "label_smoothing"}


def test_what_encoders_have_beside_a_cnn_is_on_the_page():
    encoders = (mlfund.ContrastiveEncoder, mlfund.MaskedAutoencoder, mlfund.Autoencoder)
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section("ContrastiveEncoder"), re.M))
    known = inspect.signature(mlfund.CNNClassifier).parameters
    having = {}
    for encoder in encoders:
        for name in inspect.signature(encoder).parameters:
            having.setdefault(name, []).append(f"`{encoder.__name__}`")
    added = {name: classes for name, classes in having.items() if name not in known}
    assert rows == {n: "all" if len(c) == 3 else ", ".join(c) for n, c in added.items()}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(({"solver": "lbfgs"}, {name: value}) for name, value in [
            ("optimizer", "adamw"), ("schedule", "cosine"), ("dropout", 0.1),
            ("weight_decay", 0.1), ("callbacks", []), ("precision", "bf16"),
            ("precision", "mixed"), ("lr_scaling", "sqrt"), ("accumulation_steps", 2),
            ("clip_norm", 1.0), ("clip_value", 1.0), ("max_norm", 1.0), ("l1_ratio", 0.5),
            ("normalization", "batch"), ("validation_split", 5), ("scoring", "loss"),
            ("averaging", "ema"), ("label_smoothing", 0.1), ("mixup", 0.2), ("input_noise", 0.1),
            ("track_norms", True),
        ]),
        ({"lr_scaling": None}, {"base_batch_size": 64}),
        ({"normalization": None}, {"normalization_position": "after"}),
        ({"validation_split": 5}, {"validation_fraction": 0.2}),
        ({"solver": "sgd"}, {"optimizer": "adam"}),
        ({"learning_rate": "adaptive"}, {"schedule": "cosine"}),
    ],
)  # fmt: skip
def test_pairs_that_contradict_are_refused_and_on_the_page(first, second):
    pair = [*first, *second]
    model = mlfund.MLPClassifier(**first, **second)
    with pytest.raises(ValueError, match="contradict") as caught:
        model.fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])
    assert all(name in str(caught.value) for name in pair)
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert any(all(f"`{name}" in row for name in pair) for row in rows)
