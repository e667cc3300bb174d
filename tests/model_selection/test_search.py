import inspect
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline

import mlfund
from mlfund.model_selection import _families
from mlfund.model_selection._search_run import numbered_splits
from mlfund.model_selection.search import BatchedGridSearchCV, BatchedRandomizedSearchCV
from tests.model_selection import means
from tests.model_selection.means import MeanFamily, ShrunkenMean

TIMES = ("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=60) + 3
WEIGHTS = RNG.uniform(0.5, 2, size=60)


@pytest.fixture
def family(monkeypatch):
    monkeypatch.setitem(_families.FAMILIES, f"{means.__name__}.ShrunkenMean", means.__name__)
    monkeypatch.setattr(means, "FAMILY", MeanFamily())
    return means.FAMILY


def assert_same_table(ours, theirs, atol=1e-12):
    """Equal but for times, and for ranks where scores may differ by more than rounding."""
    assert set(ours) == {*theirs, "batched"}
    for name in set(theirs) - set(TIMES):
        if name.startswith("param"):
            assert list(ours[name]) == list(theirs[name]), name
        elif not name.startswith("rank") or atol <= 1e-12:
            np.testing.assert_allclose(ours[name], theirs[name], atol=atol, err_msg=name)


GRID = {"shrinkage": [0.0, 0.3, 0.9], "group": ["a", "b"]}


@pytest.mark.parametrize("scoring", [None, "r2", ["r2", "neg_mean_absolute_error"]])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_stacked_candidates_have_the_scores_of_single_fits(family, scoring, weights):
    settings = {
        "scoring": scoring,
        "refit": "r2" if isinstance(scoring, list) else True,
        "return_train_score": True,
        "cv": KFold(4, shuffle=True, random_state=1),
    }

    ours = BatchedGridSearchCV(ShrunkenMean(), GRID, **settings).fit(X, Y, sample_weight=weights)
    theirs = GridSearchCV(ShrunkenMean(), GRID, **settings).fit(X, Y, sample_weight=weights)

    assert_same_table(ours.cv_results_, theirs.cv_results_)
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == pytest.approx(theirs.best_score_)
    assert ours.best_estimator_.mean_ == theirs.best_estimator_.mean_
    assert ours.cv_results_["batched"].all()
    assert ours.batched_reasons_ == {}
    assert family.trained == [(3, (0, 1, 2, 3)), (3, (0, 1, 2, 3))]


def test_fit_time_is_the_time_of_the_group_shared_equally(family):
    search = BatchedGridSearchCV(ShrunkenMean(), GRID).fit(X, Y)

    # half a second a model, says the fake, to which the preparation of the rows comes
    assert len(set(search.cv_results_["mean_fit_time"])) == 1
    assert search.cv_results_["mean_fit_time"][0] >= 0.5


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_others_are_fitted_one_by_one_in_the_same_table(family, n_jobs):
    grid = [{"shrinkage": [0.0, 0.1]}, {"shrinkage": [0.2, 0.3], "trouble": ["refuses"]}]

    # threads, since processes would have to import all this first
    with joblib.parallel_config("threading"):
        ours = BatchedGridSearchCV(ShrunkenMean(), grid, n_jobs=n_jobs).fit(X, Y)
    theirs = GridSearchCV(ShrunkenMean(), grid).fit(X, Y)

    assert_same_table(ours.cv_results_, theirs.cv_results_)
    assert list(ours.cv_results_["batched"]) == [True, True, False, False]
    assert ours.batched_reasons_ == {"this mean refuses": 2}


def test_data_that_cannot_be_stacked_goes_one_by_one(family):
    grid = [{"trouble": ["bad data"], "group": ["b"]}, {"shrinkage": [0.0, 0.5]}]

    search = BatchedGridSearchCV(ShrunkenMean(), grid).fit(X, Y)

    assert list(search.cv_results_["batched"]) == [False, True, True]
    assert search.batched_reasons_ == {"these data cannot be stacked": 1}


def test_foreign_estimators_are_fitted_one_by_one():
    grid = {"alpha": [0.1, 1.0]}

    ours = BatchedGridSearchCV(Ridge(), grid).fit(X, Y)

    assert_same_table(ours.cv_results_, GridSearchCV(Ridge(), grid).fit(X, Y).cv_results_)
    assert ours.batched_reasons_ == {
        "sklearn.Ridge is never stacked; mlfund.LinearRegressor fits such models and is": 2
    }


class Subclass(ShrunkenMean):
    """It might train otherwise."""


def test_a_subclass_is_not_taken_for_its_base(family):
    search = BatchedGridSearchCV(Subclass(), GRID).fit(X, Y)

    assert not search.cv_results_["batched"].any()


def test_failed_models_get_the_error_score(family):
    grid = {"trouble": [None, "fails"]}

    with (
        pytest.warns(FitFailedWarning, match="5 fits failed out of a total of 10"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search = BatchedGridSearchCV(ShrunkenMean(), grid).fit(X, Y)

    assert list(np.isnan(search.cv_results_["mean_test_score"])) == [False, True]
    assert search.best_index_ == 0


def test_error_score_raise_raises_what_the_fit_raises(family):
    search = BatchedGridSearchCV(ShrunkenMean(), {"trouble": ["fails"]}, error_score="raise")

    with pytest.raises(ValueError, match="this mean fails"):
        search.fit(X, Y)


def test_all_fits_failing_is_an_error(family):
    search = BatchedGridSearchCV(ShrunkenMean(), {"trouble": ["fails"]})

    with pytest.raises(ValueError, match="All the 5 fits failed"):
        search.fit(X, Y)


def test_warnings_of_stacked_fits_reach_the_user(family):
    search = BatchedGridSearchCV(ShrunkenMean(), {"trouble": ["warns"]}, refit=False)

    with pytest.warns(UserWarning, match="this mean warns"):
        search.fit(X, Y)


def test_random_search_draws_what_scikit_learn_draws(family):
    settings = {"n_iter": 4, "random_state": 3}

    ours = BatchedRandomizedSearchCV(ShrunkenMean(), GRID, **settings).fit(X, Y)
    theirs = RandomizedSearchCV(ShrunkenMean(), GRID, **settings).fit(X, Y)

    assert_same_table(ours.cv_results_, theirs.cv_results_)
    assert ours.cv_results_["batched"].all()


def test_a_callable_scorer_with_several_scores(family):
    def scores(estimator, X, y):
        error = mean_absolute_error(y, estimator.predict(X))
        return {"error": -error, "bias": float(np.mean(estimator.predict(X) - y))}

    settings = {"scoring": scores, "refit": "error"}

    ours = BatchedGridSearchCV(ShrunkenMean(), GRID, **settings).fit(X, Y)
    theirs = GridSearchCV(ShrunkenMean(), GRID, **settings).fit(X, Y)

    assert ours.multimetric_
    assert_same_table(ours.cv_results_, theirs.cv_results_)


def test_clone_keeps_every_parameter():
    search = BatchedGridSearchCV(ShrunkenMean(), GRID, scoring=make_scorer(mean_absolute_error))

    assert clone(search).get_params().keys() == search.get_params().keys()


class Interrupted(Exception):
    """What a user's Ctrl-C is to a search."""


def test_an_interrupted_search_goes_on_with_what_is_missing(family, tmp_path, monkeypatch):
    search = BatchedGridSearchCV(ShrunkenMean(), GRID, checkpoint_dir=tmp_path)
    trained_means = means.trained_means

    def interrupted(estimators, rows, position):
        if estimators[0].group == "b" and position == 2:
            raise Interrupted
        return trained_means(estimators, rows, position)

    with monkeypatch.context() as patch:
        patch.setattr(means, "trained_means", interrupted)
        with pytest.raises(Interrupted):
            search.fit(X, Y)
    family.trained.clear()
    search.fit(X, Y)

    # the fake trains the last split first
    assert family.trained == [(3, (0, 1, 2))]
    assert search.cv_results_["batched"].all()
    theirs = GridSearchCV(ShrunkenMean(), GRID).fit(X, Y)
    assert_same_table(search.cv_results_, theirs.cv_results_)
    assert list(tmp_path.iterdir()) == []


def test_memory_limit_reaches_the_family_in_bytes(family):
    BatchedGridSearchCV(ShrunkenMean(), GRID, memory_limit="2GB").fit(X, Y)

    assert family.memory_limit == 2 * 1000**3


def test_a_memory_limit_without_meaning_is_an_error(family):
    with pytest.raises(ValueError, match="memory_limit"):
        BatchedGridSearchCV(ShrunkenMean(), GRID, memory_limit="much").fit(X, Y)


def test_progress_tells_models_and_best_score(family, capsys):
    search = BatchedGridSearchCV(ShrunkenMean(), GRID, verbose=1).fit(X, Y)

    printed = capsys.readouterr().out
    assert "Fitting 5 folds for each of 6 candidates, totalling 30 fits" in printed
    assert "30/30 models done" in printed
    assert f"best mean score {search.best_score_:.5g}" in printed


def test_a_search_that_tells_its_progress_says_what_was_fitted_one_by_one(family, capsys):
    grid = [{"estimator": [ShrunkenMean()]}, {"estimator": [Ridge(), Ridge(2.0)]}]

    BatchedGridSearchCV(Pipeline([("estimator", Ridge())]), grid, verbose=1).fit(X, Y)

    assert capsys.readouterr().out.endswith(
        "Fitted one by one, 2 candidates: sklearn.Ridge is never stacked; "
        "mlfund.LinearRegressor fits such models and is.\n"
    )


NUMBERS = np.arange(60)
MASKS = [(fold != NUMBERS % 3, fold == NUMBERS % 3) for fold in range(3)]
FROM_THE_END = [(NUMBERS[train] - 60, NUMBERS[test] - 60) for train, test in MASKS]
LISTS = [(NUMBERS[train].tolist(), tuple(NUMBERS[test])) for train, test in MASKS]


@pytest.mark.parametrize("splits", [MASKS, FROM_THE_END, LISTS], ids=["masks", "negative", "lists"])
def test_splits_may_be_any_index(family, splits):
    ours = BatchedGridSearchCV(ShrunkenMean(), GRID, cv=splits).fit(X, Y)
    theirs = GridSearchCV(ShrunkenMean(), GRID, cv=MASKS).fit(X, Y)

    assert_same_table(ours.cv_results_, theirs.cv_results_)
    assert ours.cv_results_["batched"].all()


def test_row_numbers_count_from_the_end_where_they_are_negative():
    found = numbered_splits([([-1, 0], [True, False, False]), ([2], [])], 3)

    assert [[rows.tolist() for rows in split] for split in found] == [[[2, 0], [0]], [[2], []]]


@pytest.mark.parametrize("rows", [[3], [-4], [True, False]])
def test_rows_that_are_not_there_are_an_error(rows):
    with pytest.raises(IndexError):
        numbered_splits([(rows, [0])], 3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (mlfund.BatchedGridSearchCV, GridSearchCV),
        (mlfund.BatchedRandomizedSearchCV, RandomizedSearchCV),
        (mlfund.BatchedHalvingGridSearchCV, HalvingGridSearchCV),
        (mlfund.BatchedHalvingRandomSearchCV, HalvingRandomSearchCV),
    ],
)
def test_parameters_are_scikit_learns_and_two_more(ours, theirs):
    kept = inspect.signature(theirs).parameters
    mine = inspect.signature(ours).parameters

    # as text: nan is not equal to itself
    assert [str(p.replace(annotation=p.empty)) for p in mine.values()] == [
        *map(str, kept.values()),
        "memory_limit=None",
        "checkpoint_dir=None",
    ]
    assert all(mine[name].kind is p.kind for name, p in kept.items())
    assert issubclass(ours, theirs)
    page = (Path(__file__).parents[2] / "docs" / "reference" / "parameters.md").read_text()
    section = next(part for part in page.split("\n## ") if ours.__name__ in part.split("\n")[0])
    assert all(f"| `{name}` |" in section for name in mine if name not in kept)


class OneAfterTheOther(BatchedGridSearchCV):
    """A search of the user's own, as scikit-learn documents it."""

    def _run_search(self, evaluate_candidates):
        first = evaluate_candidates([{"shrinkage": 0.0}])
        if first["mean_test_score"][0] < 0:
            evaluate_candidates([{"shrinkage": 0.1}])


def test_a_search_of_ones_own(family):
    search = OneAfterTheOther(ShrunkenMean(), {}).fit(X, Y)

    assert [params["shrinkage"] for params in search.cv_results_["params"]] == [0.0, 0.1]
    assert list(search.cv_results_["batched"]) == [True, True]


def test_warnings_name_the_line_that_searches(family):
    with pytest.warns(UserWarning, match="this mean warns") as caught:
        BatchedGridSearchCV(ShrunkenMean(), {"trouble": ["warns"]}, refit=False).fit(X, Y)

    assert {warning.filename for warning in caught} == {__file__}
