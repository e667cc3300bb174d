"""What holds for every table: rows do not touch each other, nor do held-out rows touch fit."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from mlfund import TablePreprocessor
from mlfund._check import DataError
from tests.preprocessing.tables import everything, mixed_tables

SETTINGS = [
    {},
    {"numeric_scaling": "robust", "min_frequency": 1, "sparse_output": True},
    {"categorical_encoding": "ordinal", "max_categories": 3},
    {"categorical_encoding": "native", "impute": False, "numeric_scaling": None},
]
some_settings = st.sampled_from(SETTINGS)


def fit(X, **params):
    """Fit, or leave the example if no column of the table is usable."""
    try:
        return TablePreprocessor(**params).fit(X)
    except DataError as error:
        assert "No column is usable" in str(error)  # noqa: PT017 - assume() must follow
        assume(False)


def as_frame(out):
    if isinstance(out, pd.DataFrame):
        return out.reset_index(drop=True)
    return pd.DataFrame(out.toarray() if sparse.issparse(out) else out)


@settings(max_examples=2500, deadline=None)
@given(mixed_tables(), some_settings)
def test_a_row_is_transformed_alone_as_among_others(X, params):
    table = fit(X, **params)
    together = as_frame(table.transform(X))
    alone = [as_frame(table.transform(X.iloc[[i]])) for i in range(len(X))]
    pd.testing.assert_frame_equal(pd.concat(alone, ignore_index=True), together, rtol=0, atol=0)
    long = pd.concat([X] * 10, ignore_index=True)  # read as columns, not cell by cell
    pd.testing.assert_frame_equal(
        as_frame(table.transform(long))[: len(X)], together, rtol=0, atol=0
    )


@settings(max_examples=2500, deadline=None)
@given(mixed_tables(), mixed_tables(), some_settings)
def test_whatever_comes_later_is_finite_and_of_the_same_shape(X, other, params):
    table = fit(X, **params)
    later = other.reindex(columns=X.columns)
    try:
        out = table.transform(later)
    except DataError as error:
        assert "dates where numbers are expected" in str(error)  # noqa: PT017 - or no error
        return
    assert out.shape == (len(later), len(table.get_feature_names_out()))
    if table.impute:
        assert np.isfinite(as_frame(out).to_numpy()).all()


@settings(max_examples=2500, deadline=None)
@given(mixed_tables(), some_settings)
def test_fit_transform_is_fit_then_transform(X, params):
    table = fit(X, **params)
    again = TablePreprocessor(**params)
    out = as_frame(again.fit_transform(X))
    pd.testing.assert_frame_equal(as_frame(table.transform(X)), out, rtol=0, atol=0)
    assert state(again) == state(table)


@settings(max_examples=2500, deadline=None)
@given(mixed_tables(min_rows=4), st.randoms(use_true_random=False), some_settings)
def test_held_out_rows_leave_the_fitted_state_alone(X, random, params):
    n_train = len(X) // 2
    table = fit(X[:n_train], **params)
    changed = X.copy()
    order = list(range(n_train, len(X)))
    random.shuffle(order)
    changed.iloc[n_train:] = X.iloc[order].to_numpy()
    changed = changed.astype(X.dtypes)
    again = TablePreprocessor(**params).fit(changed[:n_train])
    assert state(again) == state(table)


def state(table):
    return pickle.dumps(table)


@pytest.mark.parametrize("params", SETTINGS)
def test_state_of_fit_does_not_depend_on_levels_of_held_out_rows(params):
    """A category dtype carries the levels of the whole table into every part of it."""
    X = everything()
    train = X[:40]
    # The same rows, with levels declared that only other rows could have.
    declared = train.copy()
    for name in ("category", "intervals", "category of numbers"):
        declared[name] = declared[name].cat.remove_unused_categories()
    assert state(TablePreprocessor(**params).fit(train)) == state(
        TablePreprocessor(**params).fit(declared)
    )


@pytest.mark.parametrize("params", SETTINGS)
def test_laws_hold_for_every_dtype(params):
    X = everything()
    table = TablePreprocessor(**params).fit(X[:40])
    together = as_frame(table.transform(X))
    for i in range(0, 60, 7):
        alone = as_frame(table.transform(X[i : i + 1]))
        pd.testing.assert_frame_equal(
            alone, together[i : i + 1].reset_index(drop=True), rtol=0, atol=0
        )


def test_rows_of_an_array_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64, np.int16, bool):
        values = np.trunc(rng.normal(size=(50, 30)) * 3).clip(0).astype(dtype)
        table = TablePreprocessor(numeric_scaling="robust").fit(values[:30])
        together = table.transform(values)
        for i in (0, 29, 49):
            np.testing.assert_array_equal(table.transform(values[[i]])[0], together[i])


def test_input_is_left_as_it_is():
    X = everything()
    TablePreprocessor().fit_transform(X)
    pd.testing.assert_frame_equal(X, everything())
    values = np.array([[1.0, np.inf], [np.nan, 2], [3, 4]])
    copy = values.copy()
    TablePreprocessor().fit_transform(values)
    np.testing.assert_array_equal(values, copy)
