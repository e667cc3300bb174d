"""Scores of stacked models: scikit-learn's own, whatever the scorer."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context, metrics
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import check_scoring, get_scorer, make_scorer
from sklearn.model_selection import KFold
from sklearn.model_selection._validation import _score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import LinearRegressor, LogisticRegression
from mlfund.model_selection import _scoring
from mlfund.model_selection._models import StackedClassifiers, StackedRegressors
from mlfund.model_selection._prefix import prepare_rows, split_estimator
from mlfund.model_selection._scoring import score_models

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
Y2 = np.where(X[:, 0] + rng.normal(size=60) > 0, "yes", "no")
Y3 = rng.integers(3, size=60) * 2
REAL = X[:, 0] + rng.normal(size=60)
WEIGHTS = rng.uniform(0.2, 3, size=60)
SPLITS = list(KFold(3, shuffle=True, random_state=0).split(X))


@dataclass(kw_only=True)
class GivenClassifiers(StackedClassifiers):
    """Models that were fitted one by one; counts who asks for one of them."""

    fitted: list = field(repr=False)
    asked: int = 0

    def _raw(self, X, models):
        X = self.scaled(X)
        raw = np.stack([one.decision_function(X) for one in self.fitted[models]])
        return raw.reshape(*raw.shape[:2], -1)

    def scaled(self, X):
        if self.rows.affine is None:
            return X
        place = list(self.rows.numbers).index(self.split)
        return (X - self.rows.affine.centre[place]) / self.rows.affine.scale[place]

    def estimator(self, position):
        self.asked += 1
        return self.fitted[position]


@dataclass(kw_only=True)
class GivenRegressors(StackedRegressors):
    fitted: list = field(repr=False)
    asked: int = 0

    def _raw(self, X, models):
        raw = np.stack([one.predict(X) for one in self.fitted[models]])
        return raw.reshape(*raw.shape[:2], -1)

    def estimator(self, position):
        self.asked += 1
        return self.fitted[position]


CS = [0.001, 0.1, 10.0]


def stack(y, *, front=(), split=1, n=3, failures=None, X=X, regression=False):
    """Return models fitted on a split, their rows and whole estimators, and those fitted whole."""
    if regression:
        whole = [make_pipeline(*front, LinearRegressor(alpha=1 / C)) for C in CS[:n]]
    else:
        whole = [make_pipeline(*front, LogisticRegression(C=C)) for C in CS[:n]]
    prefix = split_estimator(whole[0])
    prepared = list(
        prepare_rows(prefix, X, y, SPLITS, {}, takes_affine=not regression, train_scores=True)
    )
    rows = next(one for one in prepared if split in one.numbers)
    train, _ = SPLITS[split]
    fitted = [clone(one).fit(X[train], y[train]) for one in whole]
    of_stack = {"fitted": [one[-1] for one in fitted], "failures": failures or {}}
    if regression:
        models = GivenRegressors(rows, split, range(n), flat=y.ndim == 1, **of_stack)
    else:
        models = GivenClassifiers(rows, split, range(n), np.unique(y[train]), **of_stack)
    return models, rows, whole, fitted


def scored(models, rows, whole, y, scorer, *, X=X, params=None, error_score="raise", train=True):
    return score_models(
        models,
        rows,
        whole,
        X=X,
        y=y,
        scorer=scorer,
        score_params=params or {},
        return_train_score=train,
        error_score=error_score,
    )


def one_by_one(fitted, y, scorer, split=1, weights=None, error_score="raise"):
    found = []
    for model in fitted:
        of_rows = []
        for rows in reversed(SPLITS[split]):
            params = {} if weights is None else {"sample_weight": weights[rows]}
            of_rows.append(_score(model, X[rows], y[rows], scorer, params, error_score))
        found.append(of_rows)
    return found


def assert_equal_scores(results, expected):
    for result, (test, train) in zip(results, expected, strict=True):
        for mine, theirs in ((result["test_scores"], test), (result["train_scores"], train)):
            if isinstance(theirs, dict):
                assert list(mine) == list(theirs)
                mine, theirs = list(mine.values()), list(theirs.values())
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
        assert result["score_time"] >= 0


CLASS_SCORERS = ["accuracy", "neg_log_loss", "balanced_accuracy", "f1_macro", "roc_auc_ovr"]
ONE_BY_ONE = ["d2_log_loss_score", "adjusted_rand_score"]
FRONTS = pytest.mark.parametrize(
    "front", [(), (StandardScaler(),), (PCA(2),)], ids=["none", "scale", "pca"]
)


@pytest.mark.parametrize("y", [Y2, Y3], ids=["binary", "multiclass"])
@FRONTS
@pytest.mark.parametrize("weighted", [False, True])
def test_named_scorers(y, front, weighted):
    models, rows, whole, fitted = stack(y, front=front)
    for scoring in [*CLASS_SCORERS, *ONE_BY_ONE, None]:
        scorer = check_scoring(whole[0], scoring)
        weights = WEIGHTS if weighted and scorer._accept_sample_weight() else None
        params = {} if weights is None else {"sample_weight": weights}
        results = scored(models, rows, whole, y, scorer, params=params)
        assert_equal_scores(results, one_by_one(fitted, y, scorer, weights=weights))
    assert models.asked == 0


def by_hand(estimator, X, y):
    return float((estimator.predict(X) == y).mean() + len(X))


def two_scores(estimator, X, y):
    return {"right": float((estimator.predict(X) == y).mean()), "rows": len(X)}


@pytest.mark.parametrize("scorer", [by_hand, two_scores])
@FRONTS
def test_functions_of_ones_own_get_whole_estimators(scorer, front):
    models, rows, whole, fitted = stack(Y2, front=front)
    results = scored(models, rows, whole, Y2, scorer)
    assert_equal_scores(results, one_by_one(fitted, Y2, scorer))
    assert models.asked == 6


def test_functions_of_ones_own_get_the_users_rows():
    names = list("abcd")
    seen = []

    def scorer(estimator, X, y):
        seen.append((list(X.columns), X.index.tolist()))
        return 0.0

    table = pd.DataFrame(X, columns=names)
    models, rows, whole, _ = stack(Y2, front=(PCA(2),))
    scored(models, rows, whole, Y2, scorer, X=table, train=False)
    assert seen == [(names, SPLITS[1][1].tolist())] * 3


@pytest.mark.parametrize("y", [REAL, np.column_stack([REAL, REAL**2])], ids=["one", "two"])
def test_regressors(y):
    models, rows, whole, fitted = stack(y, regression=True)
    for scoring in ("r2", "neg_root_mean_squared_error", "explained_variance", None):
        scorer = check_scoring(whole[0], scoring)
        results = scored(models, rows, whole, y, scorer, params={"sample_weight": WEIGHTS})
        assert_equal_scores(results, one_by_one(fitted, y, scorer, weights=WEIGHTS))
    assert models.asked == 0


def test_several_metrics():
    models, rows, whole, fitted = stack(Y3)
    names = ["accuracy", "f1_macro", "d2_log_loss_score", "matthews_corrcoef"]
    scorer = check_scoring(whole[0], names, raise_exc=False)
    results = scored(models, rows, whole, Y3, scorer, params={"sample_weight": WEIGHTS})
    assert_equal_scores(results, one_by_one(fitted, Y3, scorer, weights=WEIGHTS))


def test_models_are_scored_block_by_block(monkeypatch):
    models, rows, whole, fitted = stack(Y3)
    monkeypatch.setattr(_scoring, "BLOCK_BYTES", 16 * 60 * 3)  # two models
    monkeypatch.setattr(_scoring, "SCORED_BYTES", 1)
    scorer = get_scorer("neg_log_loss")
    assert_equal_scores(scored(models, rows, whole, Y3, scorer), one_by_one(fitted, Y3, scorer))


def test_models_that_failed_have_no_scores():
    models, rows, whole, fitted = stack(Y2, failures={1: ValueError("no")})
    results = scored(models, rows, whole, Y2, get_scorer("accuracy"))
    assert results[1] is None
    expected = one_by_one(fitted, Y2, get_scorer("accuracy"))
    assert_equal_scores([results[0], results[2]], [expected[0], expected[2]])


def broken(estimator, X, y):
    raise RuntimeError("out of order")


def test_errors_of_scorers():
    models, rows, whole, _ = stack(Y2)
    with pytest.raises(RuntimeError, match="out of order"):
        scored(models, rows, whole, Y2, broken)
    with pytest.warns(UserWarning, match="(?s)Scoring failed.*out of order"):
        results = scored(models, rows, whole, Y2, broken, error_score=-7.0)
    assert [result["test_scores"] for result in results] == [-7.0] * 3
    several = check_scoring(whole[0], {"fine": "accuracy", "bad": broken}, raise_exc=False)
    with pytest.warns(UserWarning, match="out of order"):
        results = scored(models, rows, whole, Y2, several, error_score=np.nan)
    assert np.isnan(results[0]["test_scores"]["bad"])
    assert 0 < results[0]["test_scores"]["fine"] <= 1
    with pytest.raises(ValueError, match="scoring must return a number"):
        scored(models, rows, whole, Y2, lambda estimator, X, y: "text")


def test_what_scikit_learn_refuses_or_warns_of():
    # The labels are text, and f1 looks for 1.
    models, rows, whole, fitted = stack(Y2)
    with pytest.raises(ValueError, match="pos_label=1 is not a valid label"):
        scored(models, rows, whole, Y2, get_scorer("f1"))
    # No row is given the rare class.
    rare = np.zeros(60, dtype=int)
    rare[[SPLITS[1][0][0], SPLITS[1][1][0]]] = 1
    models, rows, whole, fitted = stack(rare, n=1)
    with pytest.warns(UndefinedMetricWarning) as mine:
        results = scored(models, rows, whole, rare, get_scorer("precision"))
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        expected = one_by_one(fitted, rare, get_scorer("precision"))
    assert_equal_scores(results, expected)
    assert [str(one.message) for one in mine] == [str(one.message) for one in theirs]


def test_a_class_that_no_model_knows():
    y = Y3.copy()
    y[y == 4] = 0
    y[SPLITS[1][1][:2]] = 8
    models, rows, whole, fitted = stack(y)
    for scoring in ("accuracy", "f1_weighted"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            expected = one_by_one(fitted, y, get_scorer(scoring))
            results = scored(models, rows, whole, y, get_scorer(scoring))
        assert_equal_scores(results, expected)
    with pytest.raises(ValueError, match="number of"):
        scored(models, rows, whole, y, get_scorer("neg_log_loss"))


def test_routed_metadata():
    with config_context(enable_metadata_routing=True):
        weighted = get_scorer("accuracy").set_score_request(sample_weight="w")
        plain = get_scorer("accuracy").set_score_request(sample_weight=False)
        models, rows, whole, fitted = stack(Y2)
        scorer = check_scoring(whole[0], {"weighted": weighted, "plain": plain})
        results = scored(models, rows, whole, Y2, scorer, params={"w": WEIGHTS})
        for model, result in zip(fitted, results, strict=True):
            rows_ = SPLITS[1][1]
            right = model.predict(X[rows_]) == Y2[rows_]
            expected = [np.average(right, weights=WEIGHTS[rows_]), right.mean()]
            np.testing.assert_allclose(list(result["test_scores"].values()), expected)


def test_kinds_of_y():
    models, rows, whole, fitted = stack(Y2)
    expected = one_by_one(fitted, Y2, get_scorer("accuracy"))
    for y in (Y2.tolist(), pd.Series(Y2), Y2.astype(object)):
        assert_equal_scores(scored(models, rows, whole, y, get_scorer("accuracy")), expected)


def test_metrics_with_metadata_of_their_own():
    def gain(y_true, y_pred, *, price):
        return float(np.sum((y_true == y_pred) * price))

    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(gain).set_score_request(price=True)
        models, rows, whole, fitted = stack(Y2)
        results = scored(models, rows, whole, Y2, scorer, params={"price": WEIGHTS}, train=False)
        test = SPLITS[1][1]
        expected = [gain(Y2[test], one.predict(X[test]), price=WEIGHTS[test]) for one in fitted]
        np.testing.assert_allclose([one["test_scores"] for one in results], expected)
        assert models.asked == 0


def test_a_threshold_metric_gets_a_view_with_the_estimators_methods():
    scorer = make_scorer(metrics.hinge_loss, response_method="decision_function")
    y = (Y2 == "yes").astype(int)
    models, rows, whole, fitted = stack(y)
    assert_equal_scores(scored(models, rows, whole, y, scorer), one_by_one(fitted, y, scorer))
