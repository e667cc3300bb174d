"""Searches: scikit-learn's table and best model from mlfund's stacks, or scikit-learn's own."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import _logistic
from sklearn.model_selection import StratifiedKFold, _search
from sklearn.neural_network import _multilayer_perceptron as _mlp
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import mlfund

X, Y = load_iris(return_X_y=True)
EXACT = {"tol": 1e-6, "max_iter": 1000}
GRID = {"logisticregression__C": [0.01, 0.1, 1.0]}
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2, len(Y))


@pytest.fixture
def names(record):
    import sklearn.model_selection as exported

    return exported


def scaled(**given):
    return make_pipeline(StandardScaler(), _logistic.LogisticRegression(**EXACT | given))


def fitted(search):
    return {name for name in vars(search) if name.endswith("_")}


def assert_same_table(ours, theirs, atol=1e-4):
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    for column, values in theirs.cv_results_.items():
        if "score" in column and "time" not in column and "rank" not in column:
            np.testing.assert_allclose(ours.cv_results_[column], values, atol=atol)
    assert str(ours.cv_results_["params"]) == str(theirs.cv_results_["params"])
    assert {n for n in vars(ours) if n.endswith("_")} == {
        n for n in vars(theirs) if n.endswith("_")
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"scoring": "neg_log_loss", "return_train_score": True},
        {"scoring": ["accuracy", "roc_auc_ovr"], "refit": "roc_auc_ovr"},
        {"scoring": {"a": "accuracy"}, "refit": False},
        {"refit": lambda results: 1, "cv": StratifiedKFold(3, shuffle=True, random_state=0)},
        {"cv": [(np.r_[:100], np.r_[100:150])]},
    ],
    ids=["plain", "train scores", "two scores", "no refit", "own refit", "own splits"],
)
def test_grid_search_has_scikit_learns_table(record, names, given):
    y = Y if "cv" not in given else Y % 2
    ours = names.GridSearchCV(scaled(), GRID, **given).fit(X, y)
    theirs = _search.GridSearchCV(scaled(), GRID, **given).fit(X, y)
    assert_same_table(ours, theirs)
    if given.get("refit", True):
        assert ours.best_params_ == theirs.best_params_
        assert type(ours.best_estimator_[-1]) is _logistic.LogisticRegression
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)
    assert repr(ours.scorer_) == repr(theirs.scorer_)
    fits = record.fits["GridSearchCV"]
    assert fits.calls == {"mlfund": 1}
    assert not fits.one_by_one


def test_a_fitted_search_is_pickled_as_scikit_learns(names):
    ours = names.GridSearchCV(scaled(), GRID).fit(X, Y)
    data = pickle.dumps(ours)
    assert b"mlfund" not in data
    again = pickle.loads(data)
    assert type(again) is _search.GridSearchCV
    np.testing.assert_array_equal(again.predict_proba(X), ours.predict_proba(X))


def test_replaced_estimators_and_those_from_before_are_searched_alike(record, names):
    from sklearn.linear_model import LogisticRegression

    scores = []
    for kind in (LogisticRegression, _logistic.LogisticRegression):
        search = names.GridSearchCV(kind(**EXACT), {"C": [0.1, 1]}).fit(X, Y)
        assert type(search.best_estimator_) is kind
        scores.append(search.best_score_)
    assert scores[0] == scores[1]
    assert record.fits["GridSearchCV"].calls == {"mlfund": 2}


def test_random_search_draws_scikit_learns_candidates(record, names):
    def searched(kind):
        stream = np.random.RandomState(3)
        space = {"logisticregression__C": loguniform(1e-2, 1), "standardscaler": [MinMaxScaler()]}
        search = kind(scaled(), space, n_iter=4, random_state=stream).fit(X, Y)
        return search, stream.randint(1_000_000)

    (ours, drawn), (theirs, expected) = map(
        searched, (names.RandomizedSearchCV, _search.RandomizedSearchCV)
    )
    assert_same_table(ours, theirs)
    assert drawn == expected
    assert record.fits["RandomizedSearchCV"].calls == {"mlfund": 1}


def test_weights_reach_the_last_step(names):
    given = {"logisticregression__sample_weight": WEIGHTS}
    ours = names.GridSearchCV(scaled(), GRID, scoring="neg_log_loss").fit(X, Y, **given)
    theirs = _search.GridSearchCV(scaled(), GRID, scoring="neg_log_loss").fit(X, Y, **given)
    assert_same_table(ours, theirs)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_networks_are_searched(record, names, solver):
    final = _mlp.MLPClassifier((5,), max_iter=8, random_state=0, solver=solver)
    nets = Pipeline([("scale", StandardScaler()), ("net", final)])
    grid = {"net__alpha": [1e-4, 1.0], "net__learning_rate_init": [0.01, 0.1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours = names.GridSearchCV(nets, grid, scoring="neg_log_loss", cv=3).fit(X, Y)
        theirs = _search.GridSearchCV(nets, grid, scoring="neg_log_loss", cv=3).fit(X, Y)
    assert_same_table(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    assert record.fits["GridSearchCV"].calls == {"mlfund": 1}


NET = _mlp.MLPClassifier((3,), max_iter=3, random_state=0)
REASONS = {
    "another estimator": (SVC(), {"C": [1, 2]}, {}, "SVC cannot be trained in batches"),
    "an estimator of mlfund": (
        mlfund.LogisticRegression(),
        {"C": [1, 2]},
        {},
        "an estimator of mlfund",
    ),
    "a last step in the grid": (
        scaled(),
        {"logisticregression": [SVC(), _logistic.LogisticRegression()]},
        {},
        "in the place of the last step",
    ),
    "a function scores": (
        scaled(),
        GRID,
        {"scoring": lambda model, X, y: model.score(X, y)},
        "scoring is a function",
    ),
    "words": (scaled(), GRID, {"verbose": 2}, "verbose"),
    "a generator of splits": (scaled(), GRID, {"cv": "generator"}, "read once"),
    "no convergence": (
        scaled(max_iter=2),
        GRID,
        {},
        "did not converge",
    ),
    "dual": (
        scaled(solver="liblinear", dual=True),
        GRID,
        {"scoring": "accuracy"},
        "dual",
    ),
    "lbfgs": (
        make_pipeline(StandardScaler(), clone(NET).set_params(solver="lbfgs")),
        {"mlpclassifier__alpha": [1, 2]},
        {},
        "lbfgs",
    ),
    "global stream": (clone(NET).set_params(random_state=None), {"alpha": [1]}, {}, "random_state"),
    "validation rows": (clone(NET).set_params(early_stopping=True), {"alpha": [1]}, {}, "early"),
}


@pytest.mark.parametrize("case", REASONS)
def test_what_is_not_equivalent_is_scikit_learns_own(record, names, case, capsys):
    estimator, grid, given, reason = REASONS[case]
    y = Y % 2

    def searched(kind):
        options = dict(given)
        if options.get("cv") == "generator":
            options["cv"] = iter(list(StratifiedKFold(3).split(X, y)))
        # splits drawn from numpy's global stream show whether an attempt has moved it
        options.setdefault("cv", StratifiedKFold(3, shuffle=True))
        np.random.seed(7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return kind(estimator, grid, **options).fit(X, y)

    ours, theirs = searched(names.GridSearchCV), searched(_search.GridSearchCV)
    assert_same_table(ours, theirs, atol=0)
    fits = record.fits["GridSearchCV"]
    assert fits.calls == {"scikit-learn": 1}
    assert [reason in why for why in fits.reasons] == [True]


@pytest.mark.parametrize(
    ("estimator", "grid", "given"),
    [
        (scaled(), {"logisticregression__optimizer": ["adam"]}, {}),
        (scaled(), {"logisticregression__C": [-1.0]}, {"error_score": "raise"}),
        (scaled(), {"logisticregression__C": [-1.0]}, {}),
        (scaled(), {"logisticregression__C": []}, {}),
        (scaled(), GRID, {"scoring": "no_such_score"}),
        (scaled(), GRID, {"cv": 1}),
    ],
    ids=["unknown", "raise", "all fail", "empty", "scoring", "cv"],
)
def test_errors_are_scikit_learns(names, estimator, grid, given):
    def error_of(kind):
        with pytest.raises(ValueError, match=r".") as caught:
            kind(estimator, grid, **given).fit(X, Y)
        return str(caught.value)

    assert (
        error_of(names.GridSearchCV).split("File")[0]
        == (error_of(_search.GridSearchCV).split("File")[0])
    )


def test_a_failing_candidate_is_scikit_learns_warning(names):
    from sklearn.exceptions import FitFailedWarning

    grid = {"logisticregression__C": [1.0, -1.0]}
    with (
        pytest.warns(FitFailedWarning, match="5 fits failed"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        ours = names.GridSearchCV(scaled(), grid).fit(X, Y)
    assert np.isnan(ours.cv_results_["mean_test_score"][1])


def test_the_line_that_verbose_prints(names, capsys):
    names.GridSearchCV(scaled(), GRID, verbose=1).fit(X, Y)
    ours = capsys.readouterr().out
    _search.GridSearchCV(scaled(), GRID, verbose=1).fit(X, Y)
    assert ours == capsys.readouterr().out


@pytest.mark.parametrize("solver", ["saga", "liblinear"])
def test_random_streams_move_as_with_scikit_learn(names, solver):
    def drawn_after(kind):
        np.random.seed(3)
        kind(scaled(solver=solver, tol=1e-2), GRID, cv=3).fit(X, Y % 2)
        return np.random.randint(1_000_000)

    assert drawn_after(names.GridSearchCV) == drawn_after(_search.GridSearchCV)


def test_a_search_with_candidates_of_its_own_is_scikit_learns(record, names):
    class Mine(names.GridSearchCV):
        def _run_search(self, evaluate_candidates, *, callback_ctx=None):
            evaluate_candidates([{"C": 1.0}])

    Mine(SVC(), {}).fit(X, Y)
    assert record.fits["GridSearchCV"].reasons == {"Mine has a _run_search of its own": 1}


def test_mlfunds_own_searches_do_not_derive_from_replacements(names):
    from mlfund import BatchedGridSearchCV

    assert not any("accelerate" in str(vars(cls)) for cls in BatchedGridSearchCV.__mro__)
