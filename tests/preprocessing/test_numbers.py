"""Numbers: equal to scikit-learn's imputer and scalers, and finite whatever comes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

from mlfund import TablePreprocessor


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(200, 70)) * 10.0 ** rng.integers(-3, 4, 70)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 3] = rng.normal(size=200)  # one column without missing values
    return values


def test_standard_equals_imputer_and_scaler(numbers):
    train, test = numbers[:150], numbers[150:]
    reference = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(train)
    table = TablePreprocessor(add_indicator=False).fit(train)
    np.testing.assert_allclose(table.transform(test), reference.transform(test), rtol=1e-12)


def test_indicators_follow_for_columns_with_gaps_in_fit(numbers):
    table = TablePreprocessor().fit(numbers[:150])
    reference = SimpleImputer(add_indicator=True).fit(numbers[:150])
    expected = reference.transform(numbers[150:])[:, 70:]
    assert table.transform(numbers[150:])[:, 70:].tolist() == expected.tolist()
    assert "x3=missing" not in table.get_feature_names_out()


def test_robust_equals_robust_scaler_and_smooth_clip(numbers):
    table = TablePreprocessor(add_indicator=False, numeric_scaling="robust").fit(numbers)
    reference = make_pipeline(SimpleImputer(strategy="median"), RobustScaler())
    scaled = reference.fit_transform(numbers)
    expected = scaled / np.sqrt(1 + (scaled / 3) ** 2)
    np.testing.assert_allclose(table.transform(numbers), expected, rtol=1e-12, atol=1e-15)


def test_robust_scales_by_half_the_range_where_the_quartiles_agree():
    values = np.array([[0.0]] * 9 + [[4.0]])
    out = TablePreprocessor(numeric_scaling="robust").fit_transform(values)
    assert out[-1, 0] == pytest.approx(2 / np.sqrt(1 + (2 / 3) ** 2))


def test_without_imputing_nan_stays_and_numbers_are_scaled_by_those_present(numbers):
    table = TablePreprocessor(impute=False).fit(numbers)
    expected = StandardScaler().fit_transform(numbers)
    np.testing.assert_allclose(table.transform(numbers), expected, rtol=1e-12, atol=1e-14)


def test_without_scaling_numbers_pass_as_they_are(numbers):
    table = TablePreprocessor(impute=False, numeric_scaling=None)
    np.testing.assert_array_equal(table.fit_transform(numbers), numbers)


def test_infinite_counts_as_missing():
    values = np.array([[1.0], [np.inf], [3.0], [-np.inf], [2.0]])
    table = TablePreprocessor(numeric_scaling=None).fit(values)
    assert table.transform(values).tolist() == [[1, 0], [2, 1], [3, 0], [2, 1], [2, 0]]


@pytest.mark.parametrize("scaling", ["standard", "robust", None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_numbers_stay_finite(scaling, dtype):
    tiny, huge = np.finfo(dtype).tiny, np.finfo(dtype).max
    values = np.array([[0, 0, 1], [tiny, huge, 2], [1, -huge, 3], [0, 1, 4]], dtype=dtype)
    table = TablePreprocessor(numeric_scaling=scaling).fit(values[:, ::-1])
    later = np.array([[huge, -huge, huge], [-tiny, tiny, -huge]], dtype=dtype)
    out = table.transform(later)
    assert np.isfinite(out).all()
    assert out.dtype == dtype


def test_float64_outliers_do_not_overflow_a_float32_output():
    table = TablePreprocessor(numeric_scaling=None, dtype="float32").fit([[0.0], [1.0]])
    assert table.transform([[1e300]])[0, 0] == np.finfo(np.float32).max


def test_booleans_are_not_scaled_and_missing_takes_the_most_frequent():
    X = pd.DataFrame({"a": pd.array([True, True, False, None], dtype="boolean")})
    assert TablePreprocessor().fit_transform(X).tolist() == [[1, 0], [1, 0], [0, 0], [1, 1]]


def test_constant_column_goes_but_its_gaps_stay():
    X = pd.DataFrame({"a": [7.0, None, 7.0], "b": [1.0, 1.0, 1.0], "c": [1, 2, 3]})
    table = TablePreprocessor(numeric_scaling=None).fit(X)
    assert table.get_feature_names_out().tolist() == ["c", "a=missing"]
    assert table.transform(X).tolist() == [[1, 0], [2, 1], [3, 0]]


def test_constant_column_may_hold_anything_later():
    table = TablePreprocessor(numeric_scaling=None).fit(pd.DataFrame({"a": [1, 1], "b": [2, 3]}))
    later = pd.DataFrame({"a": pd.to_datetime(["2020-01-01"]), "b": [5]})
    assert table.transform(later).tolist() == [[5]]


def test_durations_are_seconds():
    X = pd.DataFrame({"a": pd.to_timedelta([1, 2, 3], unit="h")})
    out = TablePreprocessor(numeric_scaling=None).fit_transform(X)
    assert out[:, 0].tolist() == [3600, 7200, 10800]


def test_dates_where_numbers_are_expected_raise():
    table = TablePreprocessor().fit(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(ValueError, match="'a' holds dates where numbers are expected"):
        table.transform(pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}))


@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_dtype_in_is_dtype_out(given):
    values = np.array([[1, 2], [3, 5], [4, 4]], dtype=given)
    assert TablePreprocessor().fit_transform(values).dtype == given
    frame = pd.DataFrame(values).assign(word=["a", "b", "a"])
    assert TablePreprocessor().fit_transform(frame).dtype == given
    assert TablePreprocessor(dtype="float32").fit_transform(frame).dtype == np.float32


def test_integers_become_float64():
    assert TablePreprocessor().fit_transform([[1], [2]]).dtype == np.float64
