"""Held-out rows reach no statistic, no weight and no score of what was trained without them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from mlfund import BatchedGridSearchCV, LinearRegressor, LogisticRegression, MLPClassifier

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(90, 4)) * [1, 5, 0.2, 3], columns=list("abcd"))
LABELS = (X["a"] + 0.2 * X["b"] + rng.normal(size=90) > 0).to_numpy().astype(int)
VALUES = (X["a"] + rng.normal(size=90)).to_numpy()
SPLITS = list(KFold(3, shuffle=True, random_state=0).split(X))
FITS = []


class Recorder(TransformerMixin, BaseEstimator):
    """Writes down the rows that it is fitted on."""

    def fit(self, X, y=None):
        FITS.append(X.index.tolist())
        return self

    def transform(self, X):
        return X


class Kept:
    """A scorer that keeps the estimators, by the first row they are scored on."""

    def __init__(self):
        self.models = {}

    def __call__(self, estimator, X, y):
        self.models[X.index[0]] = estimator
        return 0.0


LOGISTIC = LogisticRegression(tol=1e-10, max_iter=1000)
LINEAR = LinearRegressor(tol=1e-10, max_iter=1000)
MLP = MLPClassifier((5,), max_iter=4, random_state=0)
FINALS = [(LOGISTIC, "C"), (LINEAR, "alpha"), (MLP, "alpha")]
# The folds of linear models share coordinates and step directions, which decide how the
# optimum is reached, not where it is; the folds of MLPs share nothing but X.
TOLERANCE = {LOGISTIC: 1e-8, LINEAR: 1e-12, MLP: 0.0}
NAMES = ["logistic", "linear", "mlp"]


def search_models(front, final, parameter, table, splits, kind=BatchedGridSearchCV):
    """Return the fitted models of a search with one candidate, split by split."""
    estimator = make_pipeline(*front, final)
    y = VALUES if final is LINEAR else LABELS
    kept = Kept()
    grid = {f"{estimator.steps[-1][0]}__{parameter}": [0.5]}
    search = kind(estimator, grid, cv=splits, scoring=kept, refit=False).fit(table, y)
    if kind is BatchedGridSearchCV:
        assert search.cv_results_["batched"].all()
    return [kept.models[test[0]] for _, test in splits]


def weights(model):
    final = model[-1]
    return final.coefs_ + final.intercepts_ if hasattr(final, "coefs_") else [final.coef_]


def moved(test, by=1e6):
    table = X.copy()
    table.iloc[test] += by
    return table


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("final", "parameter"), FINALS, ids=NAMES)
def test_a_planted_transformer_sees_training_rows(final, parameter):
    FITS.clear()
    search_models([Recorder()], final, parameter, X, SPLITS)
    # Once a split, for all candidates.
    assert [sorted(rows) for rows in FITS] == [sorted(train) for train, _ in SPLITS]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("final", "parameter"), FINALS, ids=NAMES)
@pytest.mark.parametrize(
    "front",
    [
        [StandardScaler()],
        [MinMaxScaler()],
        [RobustScaler()],
        [SelectKBest(f_regression, k=2), StandardScaler()],
    ],
    ids=["standard", "minmax", "robust", "select"],
)
def test_held_out_rows_move_nothing(final, parameter, front):
    for split in SPLITS[:2]:
        before, after = (
            search_models(front, final, parameter, table, [split])[0]
            for table in (X, moved(split[1]))
        )
        for one, other in zip(weights(before), weights(after), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[final])
        train = X.iloc[split[0]]
        np.testing.assert_array_equal(before[:-1].transform(train), after[:-1].transform(train))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("final", "parameter"), FINALS, ids=NAMES)
def test_a_fold_that_is_far_away(final, parameter):
    # Other splits train on it: what they share with the first must not carry it over.
    table = moved(SPLITS[0][1])
    front = [StandardScaler()]
    before = search_models(front, final, parameter, X, SPLITS)
    after = search_models(front, final, parameter, table, SPLITS)
    sequential = search_models(front, final, parameter, table, SPLITS, GridSearchCV)
    for one, other in zip(weights(before[0]), weights(after[0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)
    for mine, theirs in zip(after, sequential, strict=True):
        for one, other in zip(weights(mine), weights(theirs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(mine[0].mean_, theirs[0].mean_)


@pytest.mark.parametrize(("n", "d", "k"), [(300, 250, 2), (300, 200, 3), (200, 400, 2)])
@pytest.mark.parametrize("front", [(), (StandardScaler(),)])
def test_noise_is_not_learned_where_hardly_any_penalty_holds(n, d, k, front):
    """Separable rows leave a model near its start: it must know nothing of rows held out."""
    own = np.random.default_rng(0)
    X, y = own.normal(size=(n, d)), own.integers(0, k, n)
    model = make_pipeline(*front, LogisticRegression())
    grid = {"logisticregression__C": [1e2, 1e4, 1e6]}
    search = BatchedGridSearchCV(model, grid, scoring="accuracy", refit=False).fit(X, y)
    assert search.cv_results_["batched"].all()
    # Four standard errors over chance.
    most = 1 / k + 4 * np.sqrt((1 - 1 / k) / k / n)
    assert (search.cv_results_["mean_test_score"] < most).all()


def test_noise_is_not_learned_under_an_l1_penalty_either():
    own = np.random.default_rng(0)
    X = own.normal(size=(300, 40))
    y = (X[:, 0] > 0).astype(int)
    X[:, 0] = 0.0
    X[:, 1:] *= 0.01
    X[:, 1] = y + 0.001 * own.normal(size=300)  # separable, and the rest is noise
    flipped = y.copy()
    train, test = np.arange(200), np.arange(200, 300)
    flipped[test] = own.integers(0, 2, 100)
    grid = {"C": [1e2, 1e6]}
    model = LogisticRegression(l1_ratio=0.5, solver="saga")
    scores = []
    for labels in (y, flipped):
        splits = [(train, test), (np.arange(100, 300), np.arange(100))]
        search = BatchedGridSearchCV(model, grid, cv=splits, refit=False, scoring="neg_log_loss")
        search.fit(X, np.where(np.arange(300) < 200, y, labels))
        assert search.cv_results_["batched"].all()
        scores.append(search.cv_results_["split0_test_score"])
    # What does not know the flipped labels loses by them.
    assert (scores[1] < scores[0] - 1).all()
