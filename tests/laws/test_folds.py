"""Laws of fold plans and holdouts."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate

from mlfund.folds import FoldPlan

quick = settings(max_examples=60, deadline=None)
LABELS = st.lists(st.integers(0, 3), min_size=4, max_size=80).map(np.array)


def check_partition(plan, n_rows, only_train=()):
    """Every repeat tests each row once, but those that only train."""
    tested = [row for row in range(n_rows) if row not in set(only_train)]
    for repeat in range(plan.n_repeats):
        splits = [plan[repeat * plan.n_folds + fold] for fold in range(plan.n_folds)]
        assert sorted(np.concatenate([test for _, test in splits])) == tested
        for train, test in splits:
            assert len(test) > 0
            assert sorted([*train, *test]) == list(range(n_rows))


@quick
@given(n=st.integers(2, 80), n_folds=st.integers(2, 10), n_repeats=st.integers(1, 3))
def test_plain_folds_partition_the_rows_evenly(n, n_folds, n_repeats):
    plan = FoldPlan.make(
        np.arange(n) / 7, task="regression", n_folds=n_folds, n_repeats=n_repeats, random_state=0
    )
    assert plan.kind == "kfold"
    assert plan.n_folds == min(n, n_folds)
    assert len(plan.notes) == (n < n_folds)
    check_partition(plan, n)
    sizes = [len(test) for _, test in plan]
    assert max(sizes) - min(sizes) <= 1


@quick
@given(y=LABELS, n_folds=st.integers(2, 8), n_repeats=st.integers(1, 3), seed=st.integers(0, 99))
def test_stratified_folds_partition_and_share_each_class_evenly(y, n_folds, n_repeats, seed):
    counts = np.bincount(y)
    assume((counts > 0).sum() > 1)
    assume(counts.max() > 1)
    plan = FoldPlan.make(
        y, task="classification", n_folds=n_folds, n_repeats=n_repeats, random_state=seed
    )
    rarest = counts[counts > 1].min()
    alone = np.flatnonzero(counts[y] == 1)
    assert plan.kind == "stratified"
    assert plan.n_folds == min(n_folds, rarest)
    check_partition(plan, len(y), alone)
    for train, test in plan:
        for label in np.flatnonzero(counts > 1):
            share = counts[label] / plan.n_folds
            assert np.floor(share) <= (y[test] == label).sum() <= np.ceil(share)
        assert set(y[train]) == set(y)
    assert any("alone in" in note for note in plan.notes) == (len(alone) > 0)
    assert any("rarest class" in note for note in plan.notes) == (rarest < n_folds)


def test_rare_classes_reduce_the_folds_and_the_notes_say_so():
    y = ["a"] * 20 + ["b"] * 3 + ["c"]
    plan = FoldPlan.make(y, task="multiclass", n_folds=5, random_state=0)
    assert plan.n_folds == 3
    assert plan.notes == (
        "One row is alone in its class and only trains.",
        "Folds reduced from 5 to 3: only 3 rows in the rarest class.",
    )
    assert all(23 in train for train, _ in plan)


@quick
@given(
    groups=st.lists(st.integers(0, 12), min_size=4, max_size=80).map(np.array),
    n_folds=st.integers(2, 6),
    task=st.sampled_from(["classification", "regression"]),
    seed=st.integers(0, 99),
)
def test_groups_are_never_split(groups, n_folds, task, seed):
    assume(len(set(groups)) > 1)
    y = np.random.default_rng(seed).integers(3, size=len(groups))
    names = np.array([f"patient {group}" for group in groups], dtype=object)
    plan = FoldPlan.make(y, task=task, n_folds=n_folds, groups=names, random_state=seed)
    assert plan.kind in ("group", "stratified_group")
    assert plan.n_folds <= min(n_folds, len(set(groups)))
    check_partition(plan, len(y))
    for train, test in plan:
        assert not set(groups[train]) & set(groups[test])


def test_groups_are_balanced_by_class_where_they_can_be():
    groups = np.repeat(np.arange(40), 5)
    y = (groups % 4 == 0).astype(int)
    plan = FoldPlan.make(y, task="binary", groups=groups, random_state=0)
    assert plan.kind == "stratified_group"
    assert plan.notes == ()
    assert [y[test].mean() for _, test in plan] == [0.25] * 5


def test_no_fold_is_left_empty_by_the_search_for_balance():
    # scikit-learn's StratifiedGroupKFold gives test parts of 1, 5, 0 and 3 rows here.
    y = np.array([1, 1, 1, 0, 0, 0, 1, 1, 1])
    groups = np.array([0, 0, 0, 0, 0, 1, 2, 3, 3])
    noted = 0
    for seed in range(10):
        plan = FoldPlan.make(y, task="binary", n_folds=4, groups=groups, random_state=seed)
        check_partition(plan, len(y))
        noted += any("could not be balanced" in note for note in plan.notes)
    assert noted


def test_a_class_within_one_group_is_told():
    y = np.repeat([0, 1, 2], [40, 40, 4])
    groups = np.r_[np.arange(80) % 10, np.full(4, 10)]
    plan = FoldPlan.make(y, task="multiclass", groups=groups, random_state=0)
    assert "A class lies in one fold only: that split cannot train on it." in plan.notes


@quick
@given(
    moments=st.lists(st.integers(0, 30), min_size=4, max_size=80).map(np.array),
    n_folds=st.integers(2, 6),
)
def test_time_order_is_respected(moments, n_folds):
    distinct = len(set(moments))
    assume(distinct > 2)
    plan = FoldPlan.make(
        np.zeros(len(moments)), task="regression", n_folds=n_folds, time_order=moments
    )
    assert plan.kind == "time"
    assert plan.n_folds == min(n_folds, distinct - 1)
    seen = []
    for train, test in plan:
        assert len(train) > 0
        assert len(test) > 0
        assert moments[train].max() < moments[test].min()
        seen = [*seen, *test]
    # Forward: what was tested trains the next, and nothing is tested twice.
    first = plan[0][0]
    assert sorted([*first, *seen]) == list(range(len(moments)))


def test_even_time_is_divided_evenly_whatever_the_order_of_rows_and_type():
    when = pd.Series(pd.date_range("2026-01-01", periods=60)).sample(frac=1, random_state=0)
    plan = FoldPlan.make(np.arange(60) % 2, task="binary", time_order=when, n_repeats=3)
    assert [len(test) for _, test in plan] == [10] * 5
    assert [len(train) for train, _ in plan] == [10, 20, 30, 40, 50]
    assert plan.notes == ("A division by time cannot be repeated: n_repeats is 1.",)


@quick
@given(y=LABELS, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_holdout_is_stratified_and_leaves_every_class_a_row(y, fraction, seed):
    counts = np.bincount(y)
    assume(counts.max() > 1)
    plan = FoldPlan.holdout(y, task="classification", fraction=fraction, random_state=seed)
    assert (plan.kind, len(plan)) == ("holdout", 1)
    train, valid = plan[0]
    assert sorted([*train, *valid]) == list(range(len(y)))
    present = counts[counts > 0]
    assert len(valid) == min(np.ceil(fraction * len(y)), (present - 1).sum())
    assert set(y[train]) == set(y)
    if len(valid) < (present - 1).sum() and (present * (1 - fraction) >= 1).all():
        for label in np.flatnonzero(counts):
            assert abs((y[valid] == label).sum() - fraction * counts[label]) <= 1


@quick
@given(n=st.integers(2, 200), fraction=st.floats(0.01, 0.99))
def test_holdout_of_numbers_has_the_share_rounded_up(n, fraction):
    train, valid = FoldPlan.holdout(np.arange(n) / 3, task="regression", fraction=fraction)[0]
    assert len(valid) == min(np.ceil(fraction * n), n - 1)
    assert sorted([*train, *valid]) == list(range(n))


@quick
@given(
    groups=st.lists(st.integers(0, 20), min_size=4, max_size=80).map(np.array),
    fraction=st.floats(0.05, 0.6),
)
def test_holdout_keeps_groups_whole(groups, fraction):
    assume(len(set(groups)) > 1)
    y = np.arange(len(groups)) % 2
    plan = FoldPlan.holdout(y, task="binary", fraction=fraction, groups=groups, random_state=0)
    train, valid = plan[0]
    assert len(train) > 0
    assert len(valid) > 0
    assert not set(groups[train]) & set(groups[valid])


def test_holdout_of_groups_comes_near_the_share_and_the_mix():
    groups = np.repeat(np.arange(100), 10)
    y = (groups % 5 == 0).astype(int)
    misses = []
    for seed in range(20):
        plan = FoldPlan.holdout(y, task="binary", fraction=0.2, groups=groups, random_state=seed)
        assert len(plan[0][1]) == 200
        misses.append(abs(y[plan[0][1]].mean() - 0.2))
    # One draw misses by 0.064 on average, the best of ten by a tenth of that.
    assert np.mean(misses) < 0.03


def test_holdout_by_time_takes_the_latest():
    when = np.random.default_rng(0).permutation(100)
    train, valid = FoldPlan.holdout(
        np.zeros(100), task="regression", fraction=0.2, time_order=when
    )[0]
    assert sorted(when[valid]) == list(range(80, 100))
    assert when[train].max() < when[valid].min()


def test_rows_are_drawn_alike():
    drawn = np.zeros(20)
    for seed in range(400):
        plan = FoldPlan.holdout(np.arange(20) % 2, task="binary", fraction=0.3, random_state=seed)
        drawn[plan[0][1]] += 1
    # 400 draws at 0.3: six standard deviations are 55.
    assert np.abs(drawn - 120).max() < 55


@pytest.mark.parametrize("make", [FoldPlan.make, FoldPlan.holdout])
@pytest.mark.parametrize("groups", [None, np.arange(60) // 3])
def test_a_seed_gives_the_same_plan_twice_and_another_another(make, groups):
    y = np.arange(60) % 3
    one, again, other = (
        make(y, task="multiclass", groups=groups, random_state=seed) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.test_fold, again.test_fold)
    assert (one.test_fold != other.test_fold).any()
    assert one.seed == again.seed != other.seed


def test_a_plan_leaves_the_global_stream_alone_and_advances_an_instance():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    stream = np.random.RandomState(3)
    plans = [FoldPlan.make(np.arange(30), task="regression", random_state=stream) for _ in "ab"]
    assert (plans[0].test_fold != plans[1].test_fold).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_repeats_differ():
    plan = FoldPlan.make(np.arange(40) % 2, task="binary", n_repeats=2, random_state=0)
    assert len(plan) == 10
    assert (plan.test_fold[0] != plan.test_fold[1]).any()


def test_a_plan_is_a_cv_of_sklearn():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    plan = FoldPlan.make(y, task="binary", random_state=0)
    scores = cross_validate(LogisticRegression(), x, y, cv=plan)["test_score"]
    assert len(scores) == 5
    seed = np.random.RandomState(plan.seed).randint(2**31 - 1, size=1)[0]
    theirs = StratifiedKFold(5, shuffle=True, random_state=seed).split(x, y)
    for (_, ours), (_, test) in zip(plan, theirs, strict=True):
        np.testing.assert_array_equal(ours, test)


def test_a_plan_is_frozen_survives_pickling_and_describes_itself():
    plan = FoldPlan.make(np.arange(50) % 2, task="binary", n_repeats=2, random_state=0)
    with pytest.raises(ValueError, match="read-only"):
        plan.test_fold[0, 0] = 3
    with pytest.raises(AttributeError):
        plan.kind = "kfold"
    again = pickle.loads(pickle.dumps(plan))
    np.testing.assert_array_equal(again.test_fold, plan.test_fold)
    assert again.to_dict() == plan.to_dict()
    assert plan.to_dict() == {
        "kind": "stratified",
        "n_folds": 5,
        "n_repeats": 2,
        "n_rows": 50,
        "seed": plan.seed,
        "test_fraction": pytest.approx(0.2),
        "notes": [],
    }
    with pytest.raises(IndexError, match="10 splits"):
        plan[10]
    np.testing.assert_array_equal(plan[-1][1], plan[9][1])


@pytest.mark.parametrize(
    "labels",
    [
        ["no", "yes"] * 10,
        [True, False] * 10,
        [1, "one"] * 10,
        pd.Categorical(["a", "b"] * 10),
        pd.Series(["a", "b"] * 10, dtype="string"),
        np.array([0.0, 1.0] * 10)[:, None],
    ],
    ids=["text", "bool", "mixed", "categorical", "string", "column"],
)
def test_labels_of_any_type_are_stratified(labels):
    plan = FoldPlan.make(labels, task="classification", random_state=0)
    flat = np.asarray(labels, dtype=object).ravel()
    assert all(sum(value == flat[0] for value in flat[test]) == 2 for _, test in plan)


def test_several_labels_a_row_and_one_class_are_divided_plainly():
    y = np.random.default_rng(0).integers(2, size=(30, 4))
    assert FoldPlan.make(y, task="multilabel", random_state=0).kind == "kfold"
    assert FoldPlan.make(y * 1.5, task="regression", random_state=0).kind == "kfold"
    assert FoldPlan.make(np.zeros(30), task="binary", random_state=0).kind == "kfold"
    assert len(FoldPlan.holdout(y, task="multilabel")[0][1]) == 3


Y = np.arange(12) % 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "classify"}, "task='classify' is not known.*Did you mean 'classification'"),
        ({"n_folds": 1}, "n_folds must be at least 2; got 1"),
        ({"n_folds": 2.5}, "n_folds must be an integer"),
        ({"n_repeats": 0}, "n_repeats must be an integer greater than 0"),
        ({"groups": [1, 2]}, r"groups must have one value a row \(12\); got 2"),
        ({"groups": [1.0, np.nan] * 6}, "6 values are missing in groups"),
        ({"groups": ["a", None, pd.NA] * 4}, "8 values are missing in groups"),
        ({"time_order": pd.to_datetime([None] * 12)}, "12 values are missing in time_order"),
        ({"groups": [1] * 12}, "At least 2 groups are needed"),
        ({"time_order": [1] * 6 + [2] * 6}, "At least 2 moments after the first are needed"),
        ({"groups": Y, "time_order": Y}, "groups and time_order cannot be combined"),
        ({"y": ["a", "b", "c"]}, "No class has 2 rows"),
        ({"y": [1]}, "At least 2 rows"),
        ({"y": np.eye(4)}, "use task='multilabel'"),
        ({"y": [0, 1, np.nan, 1]}, "1 value is missing in y"),
    ],
)
def test_make_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        FoldPlan.make(**({"y": Y, "task": "classification"} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 1.0}, "fraction must be a number strictly between 0 and 1"),
        ({"groups": [1] * 12}, "At least 2 groups are needed to hold one out; there is 1"),
        ({"time_order": [1] * 12}, "All rows have the same time_order"),
        ({"groups": Y, "time_order": Y}, "groups and time_order cannot be combined"),
        ({"y": ["a", "b", "c"]}, "No class has 2 rows, so none can be held out"),
    ],
)
def test_holdout_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        FoldPlan.holdout(**({"y": Y, "task": "classification"} | arguments))
