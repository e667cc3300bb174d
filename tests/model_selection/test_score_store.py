"""Results of finished models are found again by the same search and by no other."""

import dataclasses
import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import check_scoring, make_scorer
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlfund import LogisticRegression, MLPClassifier
from mlfund._engine.checkpoint import CheckpointWarning
from mlfund.model_selection import _stored_scores
from mlfund.model_selection._checkpoints import NoScores, check_resumable, open_scores
from mlfund.model_selection._search_task import SearchTask
from mlfund.model_selection._stored_scores import task_fingerprint

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
Y = (X[:, 0] > 0).astype(int)
SPLITS = list(StratifiedKFold(3).split(X, Y))
RESULT = {
    "test_scores": 0.1 + 0.2,
    "train_scores": {"a": 1.0, "b": float("nan")},
    "fit_time": 1e-3,
    "score_time": 0.0,
    "n_test_samples": 10,
    "fit_error": None,
    "batched": True,
    "reason": None,
}


def loss(y, predicted):
    return abs(y - predicted).mean()


def task(**changes):
    estimator = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    whole = {
        "estimator": estimator,
        "X": X,
        "y": Y,
        "splits": SPLITS,
        "scorer": check_scoring(estimator, "accuracy"),
        "fit_params": {},
        "score_params": {},
        "return_train_score": False,
        "error_score": np.nan,
    }
    return SearchTask(**{**whole, **changes})


def test_without_a_folder_nothing_is_kept():
    scores = open_scores(None, task())
    scores.put([({"C": 1.0}, 0, RESULT)])
    assert isinstance(scores, NoScores)
    assert scores.get({"C": 1.0}, 0) is None
    scores.clear()


def test_results_come_back_exactly_in_another_store(tmp_path):
    store = open_scores(tmp_path / "new", task())
    store.put([({"C": 1.0}, 0, RESULT), ({"C": 1.0}, 1, {**RESULT, "test_scores": -np.inf})])
    store.put([({"C": 2.0}, 0, {**RESULT, "test_scores": np.float32(0.25)})])
    again = open_scores(tmp_path / "new", task())
    found = again.get({"C": 1.0}, 0)
    assert repr(found) == repr(RESULT)
    assert again.get({"C": 1.0}, 1)["test_scores"] == -np.inf
    assert again.get({"C": 2.0}, 0)["test_scores"] == 0.25
    assert again.get({"C": 2.0}, 1) is None
    assert again.get({"C": 1.5}, 0) is None


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.tuples(st.floats(allow_nan=False), st.integers(0, 5)), st.floats(), max_size=6
    ),
    st.randoms(),
)
def test_any_score_survives_the_file(tmp_path_factory, scores, random):
    folder = tmp_path_factory.mktemp("scores")
    store = open_scores(folder, task())
    models = [({"C": c}, k, {"test_scores": value}) for (c, k), value in scores.items()]
    random.shuffle(models)
    store.put(models[:2])
    store.put(models[2:])
    again = open_scores(folder, task())
    for parameters, split, result in models:
        assert repr(again.get(parameters, split)) == repr(result)


def test_an_ended_search_leaves_nothing(tmp_path):
    store = open_scores(tmp_path, task())
    store.put([({"C": 1.0}, 0, RESULT)])
    store.clear()
    assert not list(tmp_path.iterdir())
    # another run of the same search is still at work
    store.put([({"C": 1.0}, 0, RESULT)])
    assert open_scores(tmp_path, task()).get({"C": 1.0}, 0) is not None
    store.clear()
    store.clear()


def moved(array):
    other = array.copy()
    other.flat[0] += 1e-12
    return other


SCORER = check_scoring(LogisticRegression(), "accuracy")
CHANGES = {
    "parameter": {"estimator": make_pipeline(StandardScaler(), LogisticRegression(tol=1e-5))},
    "step": {"estimator": make_pipeline(StandardScaler(with_mean=False), LogisticRegression())},
    "class": {"estimator": make_pipeline(StandardScaler(), Ridge())},
    "X": {"X": moved(X)},
    "dtype": {"X": X.astype(np.float32)},
    "table": {"X": pd.DataFrame(X)},
    "y": {"y": 1 - Y},
    "splits": {"splits": SPLITS[::-1]},
    "fewer splits": {"splits": SPLITS[:2]},
    "scorer": {"scorer": check_scoring(LogisticRegression(), "balanced_accuracy")},
    "sign": {"scorer": make_scorer(loss, greater_is_better=False)},
    "scorers": {"scorer": _MultimetricScorer(scorers={"accuracy": SCORER})},
    "fit_params": {"fit_params": {"logisticregression__sample_weight": np.ones(30)}},
    "score_params": {"score_params": {"sample_weight": np.ones(30)}},
    "train scores": {"return_train_score": True},
    "error_score": {"error_score": 0.0},
}


def test_every_change_of_the_search_has_a_fingerprint_of_its_own():
    found = {name: task_fingerprint(task(**change)) for name, change in CHANGES.items()}
    found["none"] = task_fingerprint(task())
    assert len(set(found.values())) == len(found)


def test_a_changed_version_begins_anew(monkeypatch):
    before = task_fingerprint(task())
    monkeypatch.setattr(_stored_scores, "versions", lambda: {"mlfund": "0.0"})
    assert task_fingerprint(task()) != before


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_search_finds_nothing(tmp_path, name):
    open_scores(tmp_path, task()).put([({}, 0, RESULT)])
    assert open_scores(tmp_path, task(**CHANGES[name])).get({}, 0) is None
    assert open_scores(tmp_path, task()).get({}, 0) is not None


def test_what_is_only_told_does_not_count():
    quiet = task(estimator=make_pipeline(StandardScaler(), LogisticRegression(verbose=0)))
    loud = task(estimator=make_pipeline(StandardScaler(), LogisticRegression(verbose=1)))
    assert task_fingerprint(quiet) == task_fingerprint(loud)


OWN_PARTS = """
from sklearn.base import BaseEstimator, TransformerMixin

class Step(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return {factor} * X

def score(y, predicted):
    return {sign}abs(y - predicted).mean()
"""


def test_the_source_of_own_code_counts(tmp_path, monkeypatch):
    """The same names in a module that was edited are another search."""

    def fingerprint_of(number, **code):
        path = tmp_path / f"{number}.py"
        path.write_text(OWN_PARTS.format(**code))
        spec = importlib.util.spec_from_file_location("own_parts", path)
        parts = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "own_parts", parts)
        spec.loader.exec_module(parts)
        steps = make_pipeline(parts.Step(), LogisticRegression())
        return task_fingerprint(task(estimator=steps, scorer=make_scorer(parts.score)))

    first = fingerprint_of(1, factor=2, sign="-")
    assert fingerprint_of(2, factor=3, sign="-") != first
    assert fingerprint_of(3, factor=2, sign="+") != first
    assert fingerprint_of(4, factor=2, sign="-") == first


def test_what_cannot_be_found_again_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"scoring is not the same there: .*<lambda>"):
        open_scores(tmp_path, task(scorer=make_scorer(lambda y, p: 0.0)))
    steps = make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression())
    with pytest.raises(ValueError, match=r"func=<function .*<lambda>"):
        open_scores(tmp_path, task(estimator=steps))
    with pytest.raises(ValueError, match=r"fit_params is not the same there"):
        open_scores(tmp_path, task(fit_params={"stream": iter([1])}))
    store = open_scores(tmp_path, task())
    with pytest.raises(ValueError, match=r"a candidate is not the same there"):
        store.put([({"func": lambda x: x}, 0, RESULT)])


@pytest.mark.parametrize(
    ("cv", "random_state", "named"),
    [
        (KFold(3, shuffle=True), 0, "same splits"),
        (ShuffleSplit(3), 0, "same splits"),
        (ShuffleSplit(3, random_state=np.random.RandomState(0)), 0, "same splits"),
        (KFold(3), None, "same candidates"),
        (KFold(3), np.random.RandomState(0), "same candidates"),
    ],
)
def test_splits_and_draws_must_come_again(tmp_path, cv, random_state, named):
    with pytest.raises(ValueError, match=named):
        check_resumable(tmp_path, cv, random_state)
    check_resumable(None, cv, random_state)


@pytest.mark.parametrize(
    "cv", [KFold(3), KFold(3, shuffle=True, random_state=0), ShuffleSplit(2, random_state=1)]
)
def test_splitters_that_repeat_are_taken(tmp_path, cv):
    check_resumable(tmp_path, cv)
    check_resumable(tmp_path, cv, np.int64(3))


@pytest.mark.parametrize("damage", [b"", b'{"format": 1', b"[]", b"{}", b"\xff\xfe", b"null"])
def test_a_damaged_file_costs_its_models_only(tmp_path, damage):
    store = open_scores(tmp_path, task())
    store.put([({"C": 1.0}, 0, RESULT)])
    (whole,) = store.path.glob("models-*.json")
    store.put([({"C": 2.0}, 0, RESULT)])
    whole.write_bytes(damage)
    with pytest.warns(CheckpointWarning, match="these models are trained again"):
        again = open_scores(tmp_path, task())
    assert again.get({"C": 1.0}, 0) is None
    assert again.get({"C": 2.0}, 0) is not None


def test_a_file_of_another_search_is_not_read(tmp_path):
    store = open_scores(tmp_path, task())
    store.put([({}, 0, RESULT)])
    (path,) = store.path.glob("models-*.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "fingerprint": "0" * 32}))
    with pytest.warns(CheckpointWarning, match="belongs to another search"):
        assert open_scores(tmp_path, task()).get({}, 0) is None


def test_a_disk_that_refuses_costs_a_warning_and_not_the_search(tmp_path):
    store = open_scores(tmp_path, task())
    store.clear()
    store.path.write_text("a file where the folder was")
    with pytest.warns(CheckpointWarning, match="could not be written"):
        store.put([({}, 0, RESULT)])


def test_many_writers_lose_nothing(tmp_path):
    def write(writer):
        store = open_scores(tmp_path, task())
        for k in range(10):
            store.put([({"C": 1.0 * k}, s, {**RESULT, "fit_time": writer}) for s in range(3)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    again = open_scores(tmp_path, task())
    for k in range(10):
        for split in range(3):
            found = again.get({"C": 1.0 * k}, split)
            assert repr({**found, "fit_time": 0}) == repr({**RESULT, "fit_time": 0})
    # equal models have equal files
    assert len(list(again.path.glob("models-*.json"))) == 10
    assert not list(again.path.glob("*.tmp"))


def test_the_folder_says_what_it_is(tmp_path):
    store = open_scores(tmp_path, dataclasses.replace(task(), return_train_score=True))
    about = json.loads((store.path / "search.json").read_text())
    assert "LogisticRegression" in about["estimator"]
    assert (about["rows"], about["splits"]) == (30, 3)
    assert about["versions"]["mlfund"]


def test_a_validation_split_counts():
    plain = task(estimator=MLPClassifier(random_state=0))
    split = task(estimator=MLPClassifier(random_state=0, validation_split=KFold(3)))
    assert task_fingerprint(plain) != task_fingerprint(split)
