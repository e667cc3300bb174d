import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, LeavePGroupsOut, ShuffleSplit, StratifiedKFold

from mlfund import LogisticRegression
from mlfund.model_selection._families import UnstackableError, family_of
from mlfund.model_selection._linear_family import FAMILY
from mlfund.model_selection._linear_pieces import pieces
from tests.model_selection.linear_stacks import (
    pairs,
    scaled_rows,
    scaler_of,
    single_fit,
    standardised,
    train,
)

TIGHT = {"tol": 1e-10, "max_iter": 2000}
CS = (1e-3, 0.1, 3.0, 100.0)


def problem(n_classes=2, *, n=160, d=5, seed=0):
    X, y = make_classification(
        n, d, n_informative=3, n_redundant=1, n_classes=n_classes, random_state=seed, flip_y=0.2
    )
    return X * np.arange(1, d + 1) ** 3 + 7, y


def candidates(Cs=CS, **options):
    return [LogisticRegression(C=C, **{**TIGHT, **options}) for C in Cs]


def assert_log_proba_of_single_fits(estimators, rows, *, atol=1e-6, **options):
    for models, position, single in pairs(estimators, rows, **options):
        test = rows.splits[models.split][1]
        np.testing.assert_array_equal(models.classes, single.classes_)
        # The weights themselves may share a summand that the softmax does not see (l1).
        expected = single.predict_log_proba(standardised(rows, models.split)[test])
        found = np.log(models.predict_proba(models.raw(test))[position])
        np.testing.assert_allclose(found, expected, atol=atol, rtol=atol)


OPTIONS = {
    "plain": {},
    "no intercept": {"fit_intercept": False},
    "penalised intercept": {"solver": "liblinear", "intercept_scaling": 3.0},
    "balanced": {"class_weight": "balanced"},
    "weighted classes": {"class_weight": {0: 1.0, 1: 4.0, 2: 0.5}},
    "elastic net": {"solver": "saga", "l1_ratio": 0.4},
    "lasso": {"solver": "auto", "l1_ratio": 1.0},
}


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_probabilities_are_those_of_single_fits(options, weighted, scaled):
    n_classes = 2 if "penalised" in str(options) or options.get("solver") == "liblinear" else 3
    options = dict(options)
    if isinstance(options.get("class_weight"), dict):
        options["class_weight"] = {k: options["class_weight"][k] for k in range(n_classes)}
    X, y = problem(n_classes)
    weights = np.random.default_rng(1).integers(0, 3, len(y)) if weighted else None
    splits = list(StratifiedKFold(3).split(X, y))
    given = {} if weights is None else {"sample_weight": weights}
    rows = scaled_rows(X, y, splits, given, scaler=scaler_of(X) if scaled else None)

    assert_log_proba_of_single_fits(candidates(**options), rows)


def test_l1_ratios_and_strengths_need_not_make_a_grid():
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(3).split(X)), scaler=scaler_of(X))
    points = [(0.1, 0.0), (3.0, 0.0), (1.0, 0.5), (0.1, 0.5), (2.0, 1.0)]
    estimators = [
        LogisticRegression(C=C, l1_ratio=ratio, solver="saga", **TIGHT) for C, ratio in points
    ]

    assert_log_proba_of_single_fits(estimators, rows)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("shape", [sp.csr_array, sp.csr_matrix])
def test_sparse_rows(shape, scaled):
    rng = np.random.default_rng(0)
    X = sp.random_array((300, 40), density=0.1, rng=rng, format="csr")
    y = np.where(X[:, :5].sum(axis=1) + rng.normal(scale=0.3, size=300) > 0.3, "yes", "no")
    X = shape(X)
    rows = scaled_rows(X, y, list(KFold(3).split(X)), scaler=scaler_of(X) if scaled else None)

    assert_log_proba_of_single_fits(candidates(), rows)


def test_single_precision():
    X, y = problem(3, n=400)
    X = X.astype(np.float32)
    rows = scaled_rows(X, y, list(StratifiedKFold(3).split(X, y)), scaler=scaler_of(X))
    estimators = candidates((0.01, 1.0), tol=1e-6)

    assert_log_proba_of_single_fits(estimators, rows, atol=1e-4)
    (models, *_) = train(estimators, rows)
    assert models.raw(np.arange(3)).dtype == np.float32
    assert models.estimator(0).coef_.dtype == np.float32


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["kfold", "shuffle", "bootstrap", "groups"]))
def test_any_splitter(seed, kind):
    rng = np.random.default_rng(seed)
    X, y = problem(3, n=90, d=4, seed=seed)
    if kind == "bootstrap":
        splits = [(rng.integers(0, 90, 60), rng.integers(0, 90, 9)) for _ in range(3)]
    elif kind == "groups":
        splits = list(LeavePGroupsOut(2).split(X, y, rng.integers(0, 4, 90)))
    else:
        splitter = KFold(4) if kind == "kfold" else ShuffleSplit(3, random_state=seed)
        splits = list(splitter.split(X))
    rows = scaled_rows(X, y, splits, scaler=scaler_of(X))

    assert_log_proba_of_single_fits(candidates((0.1, 5.0)), rows)


def test_splits_that_lack_a_class_know_nothing_of_it():
    X, y = load_iris(return_X_y=True)
    splits = [*KFold(3).split(X), *StratifiedKFold(2).split(X, y)]
    rows = scaled_rows(X, y, splits, scaler=scaler_of(X))

    assert_log_proba_of_single_fits(candidates((0.1, 1.0)), rows)


def test_held_out_rows_far_away_do_not_matter():
    X, y = problem()
    splits = list(KFold(4).split(X))
    X[splits[2][1]] += 1e6
    rows = scaled_rows(X, y, splits, scaler=scaler_of(X))
    before = scaled_rows(X.copy(), y, splits, scaler=scaler_of(X))
    before.X[splits[2][1]] -= 2e6

    for one, other in zip(train(candidates(), rows), train(candidates(), before), strict=True):
        if one.split == 2:
            np.testing.assert_allclose(one.stack.coef, other.stack.coef, rtol=1e-6)
            break
    else:
        pytest.fail("split 2 is missing")


def test_a_single_split_does_not_see_its_held_out_rows_at_all():
    X, y = problem(n=300)
    train_rows, held_out = np.arange(200), np.arange(200, 300)
    rows = [scaled_rows(X.copy(), y, [(train_rows, held_out)]) for _ in range(2)]
    rows[1].X[held_out] = 1e5
    one, other = (train(candidates(), some)[0] for some in rows)
    np.testing.assert_array_equal(one.stack.coef, other.stack.coef)


@pytest.mark.parametrize("name", ["plain", "balanced", "penalised intercept", "elastic net"])
def test_estimators_are_complete_fitted_clones(name):
    options = OPTIONS[name]
    X, y = load_iris(return_X_y=True, as_frame=True)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    if options.get("solver") == "liblinear":
        X, y, weights = X[y < 2], y[y < 2], weights[y < 2]
    splits = list(StratifiedKFold(3).split(X, y))
    rows = scaled_rows(X, y.to_numpy(), splits, {"sample_weight": weights})
    estimators = candidates((0.1, 1.0), **options)
    for models in train(estimators, rows):
        for position, number in enumerate(models.candidates):
            index = splits[models.split][0]
            single = clone(estimators[number]).fit(X.iloc[index], y.iloc[index], weights[index])
            model = models.estimator(position)
            assert set(vars(single)) == set(vars(model))
            assert model.get_params() == single.get_params()
            assert list(model.feature_names_in_) == list(X.columns)
            assert model.n_iter_.shape == single.n_iter_.shape
            for end in (0, -1):
                assert model.loss_curve_[end] == pytest.approx(single.loss_curve_[end])
            np.testing.assert_allclose(model.predict_proba(X), single.predict_proba(X), atol=1e-7)


def test_warnings_are_those_of_the_single_fits():
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(2).split(X)), scaler=scaler_of(X))
    short = candidates((1.0, 1e4), max_iter=1)
    for models in train(short, rows):
        assert [one.category for one in models.warnings] == [ConvergenceWarning] * 2
        assert "lbfgs failed to converge after 1 iteration(s)" in str(models.warnings[0].message)
        assert single_fit(short[0], rows, models.split)[1][0].category is ConvergenceWarning
    old = [LogisticRegression("l2")]
    for models in train(old, rows):
        (warning,) = models.warnings
        assert warning.category is FutureWarning


REFUSED = {
    "stochastic": ({"solver": "sgd"}, "sgd"),
    "own solver": ({"solver": "newton"}, "asks for one algorithm"),
    "bad value": ({"C": -1.0}, "C must be a number greater than 0"),
    "bad pair": ({"l1_ratio": 1.0}, "supports only 'l2'"),
    "verbose": ({"verbose": 1}, "verbose"),
    "no penalty": ({"C": np.inf}, "without penalty"),
    "no iterations": ({"max_iter": 0}, "max_iter=0"),
    "bad seed": ({"random_state": "x"}, "cannot be used to seed"),
}


@pytest.mark.parametrize(("options", "reason"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_why(options, reason):
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(2).split(X)))
    assert reason in FAMILY.refusal(LogisticRegression(**options), rows)


def test_other_fit_parameters_are_refused():
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(2).split(X)), {"colour": 3})
    assert "'colour'" in FAMILY.refusal(LogisticRegression(), rows)


def test_groups_differ_in_what_the_stack_shares():
    base = FAMILY.group_key(LogisticRegression())
    for same in ({"C": 2.0}, {"solver": "saga", "l1_ratio": 0.5}, {"random_state": 3}):
        assert FAMILY.group_key(LogisticRegression(**same)) == base
    for other in ({"tol": 1.0}, {"solver": "liblinear"}, {"fit_intercept": False}):
        assert FAMILY.group_key(LogisticRegression(**other)) != base
    for weights in ("balanced", {0: 2}):
        assert FAMILY.group_key(LogisticRegression(class_weight=weights)) != base


def missing_value(X, y):
    X[3, 1] = np.nan
    return X, y, {}


def one_class(X, y):
    return X, np.sort(y), {}


def column_of_labels(X, y):
    return X, y[:, None], {}


def no_weight(X, y):
    return X, y, {"sample_weight": (y == 1).astype(float)}


def negative_weight(X, y):
    return X, y, {"sample_weight": -np.ones(len(y))}


UNSTACKABLE = [missing_value, one_class, column_of_labels, no_weight, negative_weight]


@pytest.mark.parametrize("spoil", UNSTACKABLE)
def test_rows_that_only_single_fits_can_judge(spoil):
    X, y, given = spoil(*problem())
    half = np.arange(len(y)) < 80
    splits = [(np.flatnonzero(half), np.flatnonzero(~half))]
    if spoil is one_class:
        splits = [(np.arange(40), np.arange(40, 80))]
    with pytest.raises(UnstackableError):
        train(candidates(), scaled_rows(X, y, splits, given))


def test_unusable_class_weights_are_left_to_single_fits():
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(2).split(X)))
    for first in (0.0, np.nan, np.inf, [1.0]):
        with pytest.raises(UnstackableError):
            train(candidates(class_weight={0: first, 1: 1.0}), rows)
    with pytest.raises(UnstackableError):
        train(candidates(class_weight={0: 1.0, 7: 1.0}), rows)


def test_an_unknown_device_is_left_to_single_fits():
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(2).split(X)))
    with pytest.raises(UnstackableError, match="device='toaster' is not known"):
        train(candidates(device="toaster"), rows)


def test_a_memory_limit_cuts_the_stack_without_changing_it():
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(3).split(X)), scaler=scaler_of(X))
    seen = []
    assert_log_proba_of_single_fits(
        candidates(), rows, memory_limit=1, report=lambda *left: seen.append(left)
    )
    assert seen == [(left, 12) for left in range(12, -1, -1)]


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 1.0, 5.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=1
    ),
    st.integers(1, 6),
    st.sampled_from([1, 10_000, 100_000, None]),
)
def test_pieces_hold_every_model_once(points, n_splits, limit):
    seen = []
    for piece in pieces(points, n_splits, 10, 100, limit):
        splits = range(n_splits)[piece.splits]
        seen += [(number, split) for number in piece.candidates for split in splits]
        for number, r, at in zip(piece.candidates, piece.of_ratio, piece.at, strict=True):
            assert points[number] == (piece.strengths[at], piece.ratios[r])
        # Nothing is trained that was not asked for.
        wanted = {points[number] for number in piece.candidates}
        assert len(wanted) == len(piece.ratios) * len(piece.strengths)
    assert sorted(seen) == [(c, s) for c in range(len(points)) for s in range(n_splits)]


def test_l1_ratios_with_the_same_strengths_are_one_piece():
    points = [(C, ratio) for ratio in (1.0, 0.0, 0.5) for C in (0.1, 2.0)]
    found = {tuple(piece.ratios): piece.candidates for piece in pieces(points, 5, 10, 100, None)}
    assert found == {(0.0,): [2, 3], (0.5, 1.0): [0, 1, 4, 5]}


@pytest.mark.parametrize(("ratio", "n_pieces"), [(0.0, 1), (1.0, 4)])
def test_the_hessians_of_l1_penalties_count_as_memory(ratio, n_pieces):
    X, y = problem(n=800, d=60)
    rows = scaled_rows(X, y, list(KFold(2).split(X)))
    seen = []
    train(
        candidates(solver="auto", l1_ratio=ratio, tol=1e-2),
        rows,
        # What the weights of all eight models take, and 12 bytes for each entry of X.
        memory_limit=12 * X.size + 8 * 28 * 8 * 61,
        report=lambda *left: seen.append(left),
    )
    assert len(seen) == 1 + n_pieces


def test_the_search_finds_the_family():
    assert family_of(LogisticRegression()) is FAMILY
    assert FAMILY.takes_affine
