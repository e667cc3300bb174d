"""Pipelines taken apart: which rows are shared, and what final estimators get."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from mlfund import BatchedGridSearchCV, LinearRegressor, LogisticRegression
from mlfund.model_selection._families import outside_reason
from mlfund.model_selection._prefix import FailedRows, prepare_rows, split_estimator
from mlfund.model_selection._prefix_key import content_key


class Recorder(TransformerMixin, BaseEstimator):
    """Keeps the rows that every fit got, in a list that all clones share."""

    def __init__(self, fits=None):
        self.fits = fits

    def __deepcopy__(self, memo):
        return self

    def __sklearn_clone__(self):
        return Recorder(self.fits)

    def fit(self, X, y=None):
        self.fits.append(np.asarray(X)[:, 0].astype(int).tolist())
        return self

    def transform(self, X):
        return np.asarray(X) * 1.0


def numbered(n=30, d=3):
    rng = np.random.default_rng(0)
    return np.column_stack([np.arange(n), rng.normal(size=(n, d - 1))])


X, Y = numbered(), np.arange(30) % 2
SPLITS = list(KFold(3, shuffle=True, random_state=0).split(X))


def prepared(estimator, X=X, y=Y, fit_params=None, **options):
    options = {"takes_affine": True, **options}
    return list(prepare_rows(split_estimator(estimator), X, y, SPLITS, fit_params or {}, **options))


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(LogisticRegression()),
        Pipeline([("scale", "passthrough"), ("select", None), ("final", LogisticRegression())]),
    ],
)
def test_nothing_in_front_leaves_the_users_rows(estimator):
    (rows,) = prepared(estimator)
    assert rows.X is X
    assert rows.y is Y
    assert rows.affine is None
    assert list(rows.numbers) == [0, 1, 2]
    assert rows.splits is SPLITS


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()])
def test_a_scaler_in_front_is_numbers(scaler):
    (rows,) = prepared(make_pipeline("passthrough", scaler, LogisticRegression()))
    assert rows.X is X  # never a copy
    for split, (train, test) in enumerate(SPLITS):
        expected = clone(scaler).fit(X[train]).transform(X[test])
        found = (X[test] - rows.affine.centre[split]) / rows.affine.scale[split]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "steps",
    [
        [MinMaxScaler(clip=True)],
        [PCA(2)],
        [SimpleImputer(), StandardScaler()],
        [StandardScaler(), PolynomialFeatures()],
    ],
)
def test_other_transformers_are_fitted_once_a_split(steps):
    estimator = make_pipeline(*steps, LogisticRegression())
    all_rows = prepared(estimator, numbers=[4, 1, 7])
    assert [list(rows.numbers) for rows in all_rows] == [[4], [1], [7]]
    for rows, (train, test) in zip(all_rows, SPLITS, strict=True):
        front = clone(estimator[:-1])
        ((fitted, scored),) = rows.splits
        np.testing.assert_array_equal(rows.X[fitted], front.fit_transform(X[train]))
        np.testing.assert_array_equal(rows.X[scored], front.transform(X[test]))
        np.testing.assert_array_equal(rows.y[fitted], Y[train])
        np.testing.assert_array_equal(rows.y[scored], Y[test])
        assert rows.affine is None
        assert rows.seconds > 0


def test_a_family_that_takes_no_numbers_gets_the_scaled_rows():
    all_rows = prepared(make_pipeline(StandardScaler(), LogisticRegression()), takes_affine=False)
    train, test = SPLITS[1]
    expected = StandardScaler().fit(X[train]).transform(X[test])
    np.testing.assert_array_equal(all_rows[1].X[all_rows[1].splits[0][1]], expected)


def test_transformers_see_their_training_rows_alone():
    fits = []
    all_rows = prepared(make_pipeline(Recorder(fits), LogisticRegression()))
    assert [list(rows.numbers) for rows in all_rows] == [[0], [1], [2]]
    assert [sorted(rows) for rows in fits] == [sorted(train) for train, _ in SPLITS]


def test_held_out_rows_move_nothing():
    _, test = SPLITS[0]
    for front in ([StandardScaler()], [SimpleImputer(), StandardScaler(), PCA(2)]):
        estimator = make_pipeline(*front, LogisticRegression())
        moved = X.copy()
        moved[test] += 1e6
        before, after = prepared(estimator)[0], prepared(estimator, moved)[0]
        if before.affine is not None:
            np.testing.assert_array_equal(before.affine.centre[0], after.affine.centre[0])
            np.testing.assert_array_equal(before.affine.scale[0], after.affine.scale[0])
        fitted = before.splits[0][0]
        np.testing.assert_array_equal(before.X[fitted], after.X[fitted])


def test_training_rows_are_scored_as_transform_makes_them():
    letters = np.random.default_rng(1).choice(list("abc"), size=(30, 1))
    estimator = make_pipeline(TargetEncoder(cv=KFold(2)), LogisticRegression())
    rows = prepared(estimator, letters, train_scores=True)[0]
    train, _ = SPLITS[0]
    front = TargetEncoder(cv=KFold(2))
    crossed = front.fit_transform(letters[train], Y[train])
    np.testing.assert_array_equal(rows.X[rows.splits[0][0]], crossed)
    plain = front.transform(letters[train])
    assert not np.array_equal(plain, crossed)
    np.testing.assert_array_equal(rows.X[rows.train_scored[0]], plain)
    np.testing.assert_array_equal(rows.y[rows.train_scored[0]], Y[train])
    # Without train scores, and where both are the same, there is no third part.
    assert len(prepared(estimator, letters)[0].X) == 30
    same = make_pipeline(MinMaxScaler(clip=True), LogisticRegression())
    assert len(prepared(same, train_scores=True)[0].X) == 30


@pytest.mark.parametrize("make", [sp.csr_array, pd.DataFrame])
def test_kinds_of_output(make):
    if make is pd.DataFrame:
        front = PCA(2).set_output(transform="pandas")
    else:
        front = OneHotEncoder(handle_unknown="ignore")
    table = X if make is pd.DataFrame else np.random.default_rng(0).integers(3, size=(30, 2))
    rows = prepared(make_pipeline(front, LogisticRegression()), table)[2]
    train, test = SPLITS[2]
    own = clone(front).fit(table[train])
    assert isinstance(rows.X, pd.DataFrame) if make is pd.DataFrame else sp.issparse(rows.X)
    scored = rows.X[rows.splits[0][1]] if sp.issparse(rows.X) else rows.X.iloc[rows.splits[0][1]]
    expected = own.transform(table[test])
    if sp.issparse(expected):
        scored, expected = scored.toarray(), expected.toarray()
    np.testing.assert_array_equal(scored, expected)


def test_sparse_rows_are_scaled_without_centring():
    table = sp.random_array((30, 4), density=0.5, rng=np.random.default_rng(0), format="csr")
    (rows,) = prepared(make_pipeline(StandardScaler(with_mean=False), LogisticRegression()), table)
    assert sp.issparse(rows.X)
    assert not rows.affine.centre.any()


@pytest.mark.parametrize(
    ("estimator", "table", "message"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()), X.astype(str)[:, :0], "0 feature"),
        (make_pipeline(StandardScaler(), LogisticRegression()), np.where(X > 28, np.nan, X), "NaN"),
        (make_pipeline(StandardScaler(), LogisticRegression()), sp.csr_array(X), "center sparse"),
        (make_pipeline(MinMaxScaler((2, 1)), LogisticRegression()), X, "feature range"),
        (make_pipeline(PCA(1000), LogisticRegression()), X, "n_components"),
        (
            make_pipeline(FunctionTransformer(lambda rows: rows[:3]), LogisticRegression()),
            X,
            "number of rows",
        ),
    ],
)
def test_errors_are_handed_on(estimator, table, message):
    failed = prepared(estimator, table)
    assert all(isinstance(rows, FailedRows) for rows in failed)
    assert sorted(number for rows in failed for number in rows.numbers) == [0, 1, 2]
    assert message in str(failed[0].error)


def test_a_transformer_may_fail_on_one_split_alone():
    class Fussy(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            if SPLITS[1][1][0] not in X[:, 0]:
                raise ValueError("not these rows")
            return self

        def transform(self, X):
            return X

    kinds = [type(rows).__name__ for rows in prepared(make_pipeline(Fussy(), LogisticRegression()))]
    assert kinds == ["PreparedRows", "FailedRows", "PreparedRows"]


WEIGHTS = np.random.default_rng(3).uniform(0.5, 2, size=30)


def test_parameters_of_fit_reach_their_steps():
    estimator = Pipeline([("scale", StandardScaler()), ("final", LogisticRegression())])
    params = {"final__sample_weight": WEIGHTS, "scale__sample_weight": WEIGHTS[::-1]}
    (rows,) = prepared(estimator, fit_params=params)
    assert rows.fit_params == {"sample_weight": WEIGHTS}
    for split, (train, _) in enumerate(SPLITS):
        own = StandardScaler().fit(X[train], sample_weight=WEIGHTS[::-1][train])
        np.testing.assert_allclose(rows.affine.centre[split], own.mean_)


def test_parameters_of_fit_are_cut_to_the_rows_of_a_split():
    estimator = Pipeline([("front", PCA(2)), ("final", LogisticRegression())])
    for rows, split in zip(
        prepared(estimator, fit_params={"final__sample_weight": WEIGHTS}), SPLITS, strict=True
    ):
        np.testing.assert_array_equal(
            rows.fit_params["sample_weight"], WEIGHTS[np.concatenate(split)]
        )


def test_routed_metadata():
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight="of_scaler")
        final = LogisticRegression().set_fit_request(sample_weight=True)
        estimator = make_pipeline(scaler, final)
        params = {"sample_weight": WEIGHTS, "of_scaler": WEIGHTS[::-1]}
        (rows,) = prepared(estimator, fit_params=params)
        train = SPLITS[0][0]
        own = StandardScaler().fit(X[train], sample_weight=WEIGHTS[::-1][train])
        np.testing.assert_allclose(rows.affine.scale[0], own.scale_)
        assert rows.fit_params == {"sample_weight": WEIGHTS}
        by_object = rows.fitted(estimator, 0, final)[0]
        np.testing.assert_allclose(by_object.mean_, own.mean_)
        unasked = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            LogisticRegression().set_fit_request(sample_weight=False),
        )
        assert split_estimator(unasked).key != split_estimator(estimator).key


def test_unknown_parameters_of_fit_are_handed_on_as_an_error():
    (failed,) = prepared(make_pipeline(LogisticRegression()), fit_params={"sample_weight": WEIGHTS})
    assert "stepname__parameter" in str(failed.error)


@pytest.mark.parametrize("front", [[], [StandardScaler()], [PCA(2)], ["passthrough", PCA(1)]])
def test_whole_fitted_pipelines(front):
    estimator = make_pipeline(*front, LogisticRegression())
    for number, rows in enumerate(prepared(estimator) * (1 if "PCA" in str(front) else 3)):
        train, test = SPLITS[number]
        whole = clone(estimator).fit(X[train], Y[train])
        built = rows.fitted(estimator, number, whole[-1])
        np.testing.assert_array_equal(built.predict_proba(X[test]), whole.predict_proba(X[test]))
        assert list(built.named_steps) == list(whole.named_steps)
    assert prepared(LogisticRegression())[0].fitted(LogisticRegression(), 0, "final") == "final"


def test_keys_tell_prefixes_apart():
    def key(*front, final=None):
        return split_estimator(make_pipeline(*front, final or LogisticRegression())).key

    assert key(StandardScaler()) == key(StandardScaler())
    assert key(StandardScaler()) == key(StandardScaler(), final=LogisticRegression(C=7))
    assert key(StandardScaler()) != key(StandardScaler(with_mean=False))
    assert key(StandardScaler()) != key(MinMaxScaler())
    assert key(PCA(1)) != key(PCA(True))
    assert key(PCA(2), StandardScaler()) != key(StandardScaler(), PCA(2))
    assert key(StandardScaler()) != key(StandardScaler(), final=LinearRegressor())
    assert key(SimpleImputer(missing_values=np.nan)) == key(SimpleImputer(missing_values=np.nan))
    assert key(PCA(2)) != key(PCA(2).set_output(transform="pandas"))


def test_keys_of_contents():
    def function(x):
        return x

    assert content_key(function) == content_key(function)
    assert content_key(lambda x: x) != content_key(lambda x: x)
    assert content_key(np.arange(3)) == content_key(np.arange(3))
    assert content_key(np.arange(3)) != content_key(np.arange(3.0))
    assert content_key([1, (2, {"a": None})]) == content_key([1, (2, {"a": None})])
    assert content_key([1, 2]) != content_key((1, 2))
    assert content_key(float("nan")) == content_key(float("nan"))
    assert content_key(np.random.RandomState(0)) == content_key(np.random.RandomState(0))
    assert content_key(np.random.RandomState(0)) != content_key(np.random.RandomState(1))
    assert content_key(PCA) == content_key(PCA) != content_key(PCA())
    # Lambdas survive clone as themselves.
    front = FunctionTransformer(function)
    assert content_key(front) == content_key(clone(front))


def test_what_cannot_be_taken_apart():
    class OwnPipeline(Pipeline):
        pass

    own = OwnPipeline([("scale", StandardScaler()), ("final", LogisticRegression())])
    assert split_estimator(own).final is own
    no_final = make_pipeline(StandardScaler(), "passthrough")
    assert split_estimator(no_final).final is no_final
    transforming = Pipeline(
        [("scale", StandardScaler()), ("final", LogisticRegression())], transform_input=["X_val"]
    )
    assert "transform_input" in split_estimator(transforming).refusal
    assert split_estimator(make_pipeline(PCA(), LogisticRegression())).refusal is None


def test_a_scaler_in_front_checks_the_names_of_columns():
    X, y = load_iris(return_X_y=True)
    mixed = pd.DataFrame(X, columns=["a", 1, "b", 2])
    model = make_pipeline(StandardScaler(), LogisticRegression())
    search = BatchedGridSearchCV(model, {"logisticregression__C": [1.0]}, refit=False)
    with pytest.raises(ValueError, match="All the 5 fits failed"):
        search.fit(mixed, y)


def test_reasons_name_what_is_wrong_with_a_pipeline():
    X, y = load_iris(return_X_y=True)
    nested = make_pipeline(make_pipeline(StandardScaler(), LogisticRegression()))
    found = BatchedGridSearchCV(nested, {"pipeline__logisticregression__C": [1.0]}).fit(X, y)
    assert list(found.batched_reasons_) == [
        "a pipeline inside a pipeline is never stacked; put its steps into the outer one"
    ]
    empty = make_pipeline(LogisticRegression(), "passthrough")
    assert outside_reason(empty) == "a pipeline without a model at its end has nothing to stack"
