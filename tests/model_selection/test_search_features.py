"""What scikit-learn's searches do beside searching, on stacks."""

import copy
import pickle
import warnings
from typing import ClassVar

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from scipy.stats import loguniform, randint, uniform
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

import mlfund
from mlfund import BatchedGridSearchCV, BatchedRandomizedSearchCV, LogisticRegression
from mlfund.model_selection._distributions import SavedDistribution
from tests.model_selection.test_search import assert_same_table

RNG = np.random.default_rng(0)
X = RNG.normal(loc=[0, 5, 0], size=(90, 3))
Y = np.where(X[:, 0] + RNG.normal(size=90) > 0, "yes", "no")
GROUPS = np.repeat(np.arange(9), 10)
WEIGHTS = RNG.uniform(0.5, 2, size=90)
MODEL = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000))
GRID = {"logisticregression__C": [0.1, 10.0]}


def both(estimator=MODEL, grid=GRID, X=X, fit=None, **settings):
    """Our search and scikit-learn's, fitted."""
    settings = {"scoring": "neg_log_loss", "cv": 3, **settings}
    return [
        search(estimator, grid, **settings).fit(X, Y, **(fit or {}))
        for search in (BatchedGridSearchCV, GridSearchCV)
    ]


def assert_same_scores(ours, theirs):
    assert_same_table(ours.cv_results_, theirs.cv_results_, atol=1e-6)
    assert ours.cv_results_["batched"].all()


@pytest.mark.parametrize(
    ("cv", "groups"),
    [
        (KFold(3, shuffle=True, random_state=0), None),
        (GroupKFold(3), GROUPS),
        (LeaveOneGroupOut(), GROUPS % 3),
        (RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0), None),
        (ShuffleSplit(3, test_size=20, random_state=0), None),
        (TimeSeriesSplit(3), None),
        (PredefinedSplit(np.arange(90) % 4 - 1), None),
        ([(np.arange(60), np.arange(60, 90)), (np.arange(40, 90), np.arange(40))], None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_splitter(cv, groups):
    ours, theirs = both(cv=cv, fit={} if groups is None else {"groups": groups})

    assert_same_scores(ours, theirs)
    assert ours.n_splits_ == theirs.n_splits_


def test_weights_reach_fit_and_scorer():
    fit = {"logisticregression__sample_weight": WEIGHTS}

    ours, theirs = both(fit=fit)

    assert_same_scores(ours, theirs)
    np.testing.assert_allclose(
        ours.best_estimator_[-1].coef_, theirs.best_estimator_[-1].coef_, atol=1e-6
    )


def test_metadata_is_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression(tol=1e-8, max_iter=1000).set_fit_request(sample_weight=True)
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        ours, theirs = both(
            model,
            {"C": [0.1, 10.0]},
            scoring=scorer,
            cv=GroupKFold(3),
            fit={"sample_weight": WEIGHTS, "groups": GROUPS},
        )

        assert_same_scores(ours, theirs)
        for search in (ours, theirs):
            with pytest.raises(TypeError, match="unexpected argument"):
                search.fit(X, Y, nothing=WEIGHTS)


def test_whole_steps_may_be_candidates():
    pipeline = Pipeline([("scaler", StandardScaler()), ("model", MODEL[-1])])
    foreign = sklearn.linear_model.LogisticRegression(tol=1e-8)
    grid = [
        {"scaler": [StandardScaler(), MaxAbsScaler(), "passthrough"], "model__C": [0.1, 1.0]},
        {"model": [foreign]},
    ]

    ours, theirs = both(pipeline, grid)

    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=1e-5
    )
    assert list(ours.cv_results_["batched"]) == [True] * 6 + [False]
    assert ours.batched_reasons_ == {
        "sklearn.LogisticRegression is never stacked; "
        "mlfund.LogisticRegression takes its place and is": 1
    }


def test_sparse_rows():
    scaled = make_pipeline(StandardScaler(with_mean=False), MODEL[-1])

    assert_same_scores(*both(scaled, X=sp.csr_array(X)))


def test_data_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])

    ours, theirs = both(X=frame, return_train_score=True)

    assert_same_scores(ours, theirs)
    assert list(ours.feature_names_in_) == ["a", "b", "c"]


def test_the_choice_may_be_a_function():
    ours, theirs = both(refit=lambda results: int(np.argmin(results["mean_test_score"])))

    assert ours.best_index_ == theirs.best_index_
    assert not hasattr(ours, "best_score_")


class Recorder:
    """A callback that writes down what it hears."""

    def __init__(self):
        self.heard = []

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata):
        weights = None if metadata is None else len(metadata["sample_weight"])
        rows = None if X is None else (len(X), len(y), weights)
        self.heard.append(("begin", context.task_name, context.task_id, rows))

    def on_fit_task_end(self, estimator, context):
        self.heard.append(("end", context.task_name, context.task_id, None))

    def teardown(self, estimator, context):
        pass


def test_callbacks_hear_what_they_hear_in_scikit_learn():
    heard = []
    for search in (BatchedGridSearchCV, GridSearchCV):
        recorder = Recorder()
        searched = search(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3)
        searched.set_callbacks(recorder).fit(X, Y, sample_weight=WEIGHTS)
        heard.append(recorder.heard)

    # stacks end in another order
    assert sorted(map(repr, heard[0])) == sorted(map(repr, heard[1]))


def test_estimators_with_callbacks_are_fitted_one_by_one():
    recorder = Recorder()
    model = LogisticRegression().set_callbacks(recorder)

    search = BatchedGridSearchCV(model, {"C": [0.1, 1.0]}, cv=3, refit=False).fit(X, Y)

    assert search.batched_reasons_ == {"the estimator has callbacks of its own": 2}
    assert sum(kind == "begin" and task == "fit" for kind, task, *_ in recorder.heard) == 6


def test_a_search_inside_cross_validation():
    ours, theirs = (
        cross_val_score(search(MODEL, GRID, cv=3, scoring="neg_log_loss"), X, Y, cv=3)
        for search in (BatchedGridSearchCV, GridSearchCV)
    )

    np.testing.assert_allclose(ours, theirs)


def same_predictions(one, other):
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.cv_results_["params"] == other.cv_results_["params"]
    assert one.batched_reasons_ == other.batched_reasons_


def test_searches_are_pickled():
    search = BatchedGridSearchCV(MODEL, GRID).fit(X, Y)

    same_predictions(pickle.loads(pickle.dumps(search)), search)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", ["accuracy", "roc_auc"]])
def test_searches_are_saved_and_loaded(scoring, tmp_path):
    refit = "accuracy" if isinstance(scoring, list) else True
    search = BatchedGridSearchCV(MODEL, GRID, scoring=scoring, refit=refit).fit(X, Y)

    mlfund.save(search, tmp_path / "search.mlfund")
    loaded = mlfund.load(tmp_path / "search.mlfund")

    same_predictions(loaded, search)
    assert loaded.score(X, Y) == search.score(X, Y)


def test_random_searches_keep_their_distributions(tmp_path):
    distributions = {
        "logisticregression__C": loguniform(0.1, 10),
        "logisticregression__max_iter": randint(500, 600),
        "logisticregression__fit_intercept": [True, False],
    }
    for given in (distributions, [distributions, {"logisticregression__C": uniform(scale=2)}]):
        search = BatchedRandomizedSearchCV(MODEL, given, n_iter=4, random_state=0).fit(X, Y)
        mlfund.save(search, tmp_path / "search.mlfund")
        for loaded in (
            mlfund.load(tmp_path / "search.mlfund"),
            pickle.loads(pickle.dumps(search)),
            copy.deepcopy(search),
        ):
            same_predictions(loaded, search)
            assert clone(loaded).fit(X, Y).cv_results_["params"] == search.cv_results_["params"]


def test_a_saved_distribution_is_one_of_scipy():
    with pytest.raises(ValueError, match=r"no distribution 'rankdata'"):
        SavedDistribution("rankdata", (), {}).frozen()


def test_a_warning_of_many_fits_is_said_once():
    model = LogisticRegression(max_iter=2, tol=1e-8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        BatchedGridSearchCV(model, {"C": [1.0, 10.0, 100.0]}, cv=4, refit=False).fit(X, Y)
    (said,) = caught
    assert said.category is ConvergenceWarning
    assert "failed to converge after 2 iteration(s)" in str(said.message)
    assert str(said.message).endswith("(12 fits of this search say so; this is the first.)")


class Grabber(TransformerMixin, BaseEstimator):
    """Remembers the rows it was fitted on."""

    seen: ClassVar[list[np.ndarray]] = []

    def fit(self, X, y=None):
        self.seen.append(X[:, 0].copy())
        self.fitted_ = True
        return self

    def transform(self, X):
        check_is_fitted(self)
        return X


def test_other_transformers_are_fitted_once_a_split_on_its_training_rows():
    Grabber.seen.clear()
    cv = KFold(3)

    BatchedGridSearchCV(make_pipeline(Grabber(), MODEL[-1]), GRID, cv=cv, refit=False).fit(X, Y)

    assert len(Grabber.seen) == 3
    for rows, (train, _) in zip(Grabber.seen, cv.split(X), strict=True):
        np.testing.assert_array_equal(rows, X[train, 0])


def test_stacks_may_run_in_threads_of_joblib():
    searches = [BatchedGridSearchCV(MODEL, GRID, cv=3) for _ in range(2)]

    fitted = joblib.Parallel(n_jobs=2, prefer="threads")(
        joblib.delayed(search.fit)(X, Y) for search in searches
    )

    same_predictions(*fitted)
