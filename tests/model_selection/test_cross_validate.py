"""`cross_validate` is scikit-learn's, with the folds of one program: reference is the original."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning, UnsetMetadataPassedError
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import (
    GroupKFold,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.model_selection import cross_validate as sequential
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from mlfund import LogisticRegression, cross_validate
from mlfund.model_selection import _search_evaluation

X, Y = make_classification(150, 6, n_informative=4, n_classes=3, random_state=0)
X = X * 10.0 ** np.arange(-2, 4) + 5
GROUPS = np.arange(150) % 7
WEIGHTS = np.random.default_rng(0).uniform(0.1, 3, size=150)
EXACT = LogisticRegression(tol=1e-10, max_iter=1000)
PIPELINE = make_pipeline(StandardScaler(), EXACT)


def assert_same(ours, theirs, tolerance=1e-6):
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        if name.startswith(("test_", "train_")):
            assert ours[name].dtype == np.asarray(expected).dtype
            np.testing.assert_allclose(ours[name], expected, rtol=0, atol=tolerance)
        elif name.endswith("_time"):
            assert ours[name].shape == expected.shape
            assert (ours[name] >= 0).all()


@pytest.fixture
def stacked(monkeypatch):
    """Let nothing be fitted one by one."""

    def refuse(*arguments, **options):
        assert not arguments[2], f"fitted one by one: {options['reasons']}"
        return iter(())

    monkeypatch.setattr(_search_evaluation, "fit_one_by_one", refuse)


def test_the_signature_is_scikit_learns_and_two_more():
    ours = list(inspect.signature(cross_validate).parameters.values())
    theirs = list(inspect.signature(sequential).parameters.values())
    # as text: nan is not nan
    assert [str(p.replace(annotation=p.empty)) for p in ours[:-2]] == list(map(str, theirs))
    assert [p.name for p in ours[-2:]] == ["memory_limit", "checkpoint_dir"]
    assert all(p.default is None and p.kind is p.KEYWORD_ONLY for p in ours[-2:])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cv": 3, "scoring": "neg_log_loss", "return_train_score": True},
        {"scoring": ["accuracy", "neg_log_loss"], "return_train_score": True},
        {"scoring": {"recall": make_scorer(recall_score, average="macro"), "f1": "f1_macro"}},
        {"cv": GroupKFold(4), "groups": GROUPS},
        {"cv": RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)},
        {"cv": PredefinedSplit(GROUPS - 4), "scoring": "neg_log_loss"},
        {"cv": ShuffleSplit(3, random_state=0)},
        {"cv": TimeSeriesSplit(3), "scoring": "balanced_accuracy"},
        {"params": {"logisticregression__sample_weight": WEIGHTS}, "scoring": "neg_log_loss"},
        {"return_indices": True, "cv": 4},
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
@pytest.mark.usefixtures("stacked")
def test_scores_are_those_of_the_sequential_fits(options):
    ours, theirs = cross_validate(PIPELINE, X, Y, **options), sequential(PIPELINE, X, Y, **options)
    assert_same(ours, theirs)
    if "indices" in theirs:
        for part in ("train", "test"):
            for mine, expected in zip(ours["indices"][part], theirs["indices"][part], strict=True):
                np.testing.assert_array_equal(mine, expected)


@pytest.mark.usefixtures("stacked")
def test_tables_strings_and_sparse_rows():
    names = np.array(["low", "middle", "high"])[Y]
    table = pd.DataFrame(X, columns=list("abcdef"), index=np.arange(150)[::-1])
    assert_same(
        cross_validate(PIPELINE, table, pd.Series(names)),
        sequential(PIPELINE, table, pd.Series(names)),
    )
    rows = sparse.csr_array(np.where(np.abs(X) < 5, 0, X))
    options = {"scoring": "neg_log_loss", "cv": 3}
    assert_same(
        cross_validate(LogisticRegression(tol=1e-10, max_iter=5000), rows, Y, **options),
        sequential(LogisticRegression(tol=1e-10, max_iter=5000), rows, Y, **options),
        1e-5,
    )


@pytest.mark.usefixtures("stacked")
@pytest.mark.parametrize("whole", [PIPELINE, make_pipeline(MinMaxScaler(), EXACT), EXACT])
def test_estimators_come_back_fitted(whole):
    table = pd.DataFrame(X, columns=list("abcdef")) / 10.0 ** np.arange(-2, 4)
    ours = cross_validate(whole, table, Y, cv=3, return_estimator=True)
    theirs = sequential(whole, table, Y, cv=3, return_estimator=True)
    assert_same(ours, theirs)
    for mine, expected in zip(ours["estimator"], theirs["estimator"], strict=True):
        check_is_fitted(mine)
        assert mine is not whole
        assert is_classifier(mine)
        np.testing.assert_allclose(
            mine.predict_proba(table), expected.predict_proba(table), rtol=0, atol=1e-6
        )
        np.testing.assert_array_equal(mine.classes_, expected.classes_)
        np.testing.assert_array_equal(mine.feature_names_in_, expected.feature_names_in_)
        assert repr(mine) == repr(expected)
    assert not hasattr(whole, "n_features_in_")


class Fussy(ClassifierMixin, BaseEstimator):
    """Cannot be trained where the first row is not among the training rows."""

    def fit(self, X, y):
        if X[0, 0] != 0:
            raise ValueError("where is the first row?")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


NUMBERED = np.arange(12.0)[:, None]
BITS = np.arange(12) % 2


@pytest.mark.parametrize("options", [{}, {"scoring": ["accuracy", "f1"]}, {"error_score": -1.0}])
def test_failed_folds_get_the_error_score(options):
    options = {**options, "cv": 3, "return_train_score": True, "return_estimator": True}
    with pytest.warns(FitFailedWarning, match="1 fits failed out of a total of 3"):
        ours = cross_validate(Fussy(), NUMBERED, BITS, **options)
    with pytest.warns(FitFailedWarning):
        theirs = sequential(Fussy(), NUMBERED, BITS, **options)
    assert_same(ours, theirs)
    assert len(ours["estimator"]) == 3
    with pytest.raises(ValueError, match="where is the first row"):
        cross_validate(Fussy(), NUMBERED, BITS, cv=3, error_score="raise")
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        cross_validate(Fussy(), NUMBERED + 1, BITS, cv=3)


def test_a_callable_that_names_its_scores():
    def scores(model, rows, labels):
        hit = (model.predict(rows) == labels).mean()
        return {"hit": hit, "miss": 1 - hit}

    with pytest.warns(FitFailedWarning):
        ours = cross_validate(Fussy(), NUMBERED, BITS, cv=3, scoring=scores)
    with pytest.warns(FitFailedWarning):
        theirs = sequential(Fussy(), NUMBERED, BITS, cv=3, scoring=scores)
    assert_same(ours, theirs)
    assert_same(
        cross_validate(PIPELINE, X, Y, scoring=scores),
        sequential(PIPELINE, X, Y, scoring=scores),
    )


def test_other_estimators_are_fitted_fold_by_fold_and_it_is_said(capsys):
    ours = cross_validate(KNeighborsClassifier(), X, Y, verbose=1)
    out = capsys.readouterr().out
    assert "5/5 models done" in out
    assert re.search(r"Fitted fold by fold: .*KNeighborsClassifier is never stacked.\n$", out)
    assert_same(ours, sequential(KNeighborsClassifier(), X, Y))
    cross_validate(PIPELINE, X, Y, verbose=1)
    assert "fold by fold" not in capsys.readouterr().out
    cross_validate(PIPELINE, X, Y)
    assert capsys.readouterr().out == ""


def test_metadata_goes_where_it_was_asked_for():
    with config_context(enable_metadata_routing=True):
        model = LogisticRegression(tol=1e-10, max_iter=5000).set_fit_request(sample_weight=True)
        scorer = make_scorer(recall_score, average="macro").set_score_request(sample_weight="w")
        rows = StandardScaler().fit_transform(X)
        params = {"sample_weight": WEIGHTS, "w": WEIGHTS[::-1], "groups": GROUPS}
        options = {"params": params, "scoring": scorer, "cv": GroupKFold(3)}
        assert_same(
            cross_validate(model, rows, Y, **options), sequential(model, rows, Y, **options)
        )
        with pytest.raises(UnsetMetadataPassedError, match=r"cross_validate(?!\.fit)"):
            cross_validate(LogisticRegression(), X, Y, params={"sample_weight": WEIGHTS})
        with pytest.raises(ValueError, match="`groups` can only be passed"):
            cross_validate(LogisticRegression(), X, Y, groups=GROUPS)


def test_senseless_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="without return_estimator"):
        cross_validate(PIPELINE, X, Y, checkpoint_dir=tmp_path, return_estimator=True)
    with pytest.raises(ValueError, match="same splits"):
        cross_validate(PIPELINE, X, Y, checkpoint_dir=tmp_path, cv=ShuffleSplit(2))
    with pytest.raises(ValueError, match="'2GB'"):
        cross_validate(PIPELINE, X, Y, memory_limit="much")
    with pytest.raises(ValueError, match="memory_limit"):
        cross_validate(PIPELINE, X, Y, memory_limit=0)
    assert not list(tmp_path.iterdir())


class InterruptedScorer:
    """Scores, and ends the process at the third fold of the first run."""

    calls = 0

    def __call__(self, model, rows, labels):
        type(self).calls += 1
        if type(self).calls == 3:
            raise KeyboardInterrupt
        return model.score(rows, labels)


def score_until_interrupted(model, rows, labels):
    return InterruptedScorer()(model, rows, labels)


def test_a_call_that_was_interrupted_goes_on(tmp_path, capsys):
    InterruptedScorer.calls = 0
    options = {"checkpoint_dir": tmp_path, "scoring": score_until_interrupted, "verbose": 1}
    with pytest.raises(KeyboardInterrupt):
        cross_validate(KNeighborsClassifier(), X, Y, **options)
    capsys.readouterr()
    ours = cross_validate(KNeighborsClassifier(), X, Y, **options)
    assert InterruptedScorer.calls == 6
    assert "5/5 models done (2 of them before)" in capsys.readouterr().out
    assert_same(ours, sequential(KNeighborsClassifier(), X, Y))
    assert not list(tmp_path.iterdir())
