"""Checks of X and y alone: each on data that must fail it and on data that must not."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mlfund.diagnostics import _data_checks as checks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5))
Y = RNG.integers(0, 3, 400)
NAMES = [f"column {i}" for i in range(5)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["array", "table", "sparse"])
def test_cells_that_are_not_finite_are_counted_by_column(value, kind):
    bad = X.copy()
    bad[3, 1] = bad[4, 1] = bad[9, 4] = value
    given_X = {"array": bad, "table": pd.DataFrame(bad, columns=NAMES), "sparse": sp.csr_array(bad)}
    finding = checks.check_finite(given_X[kind], Y)
    assert (finding.status, finding.number) == ("fail", 3)
    assert finding.evidence["cells by column"] == {"column 1": 2, "column 4": 1}
    assert finding.fault == "NaN in the data"
    assert checks.check_finite(X, Y).status == "pass"


def test_a_hole_in_y_is_told_from_one_in_x():
    y = X[:, 0].copy()
    y[0] = np.nan
    finding = checks.check_finite(X, y)
    assert finding.status == "fail"
    assert "in y" in finding.text
    assert "of X" not in finding.text


@pytest.mark.parametrize(("factor", "status"), [(1, "pass"), (30, "warn"), (1e3, "fail")])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_scale_of_columns_is_graded(factor, status, sparse):
    scaled = X * np.r_[1, 1, factor, 1, 1]
    finding = checks.check_input_scale(sp.csr_array(scaled) if sparse else scaled, NAMES)
    assert finding.status == status
    assert finding.number == pytest.approx(np.sqrt(np.square(scaled).mean(0)).max())
    assert status == "pass" or "column 2" in finding.text


def test_columns_far_from_zero_are_unscaled_however_little_they_vary():
    years = X + np.r_[0, 0, 2005, 0, 0]
    assert checks.check_input_scale(years, NAMES).status == "fail"


def test_columns_that_whisper_are_warned_of():
    assert checks.check_input_scale(X * 1e-3, NAMES).status == "warn"
    assert checks.check_input_scale(X * np.r_[1, 1, 1e-4, 1, 1], NAMES).status == "warn"


@pytest.mark.parametrize(("factor", "status"), [(1, "pass"), (30, "warn"), (1e4, "fail")])
def test_the_scale_of_a_target_is_graded(factor, status):
    finding = checks.check_target_scale(factor * X[:, 0], classification=False, identity_link=True)
    assert finding.status == status
    assert (finding.fault == "unscaled target") == (status == "fail")


def test_classes_and_targets_behind_a_link_have_no_scale():
    for options in ({"classification": True}, {"classification": False}):
        finding = checks.check_target_scale(1e6 * X[:, 0], **options, identity_link=False)
        assert finding.status == "skip"


@pytest.mark.parametrize("kind", ["array", "table", "sparse"])
def test_a_batch_that_comes_twice_is_found_where_it_stands(kind):
    twice, y = np.vstack([X, X[40:72]]), np.r_[Y, Y[40:72]]
    given_X = {"array": twice, "table": pd.DataFrame(twice), "sparse": sp.csr_array(twice)}
    finding = checks.check_duplicates(given_X[kind], y)
    assert (finding.status, finding.number, finding.fault) == ("fail", 32, "duplicated batch")
    assert "from row 40 and from 400" in finding.text


@given(
    block=st.integers(16, 60), repeats=st.integers(2, 6), start=st.integers(0, 100),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_a_repeated_block_is_found_whatever_its_place_and_length(block, repeats, start, seed):
    rows = np.random.default_rng(seed).normal(size=(200, 2))
    data = np.vstack([rows[:150], *[rows[start : start + block]] * repeats, rows[150:]])
    finding = checks.check_duplicates(data, np.zeros(len(data)))
    assert finding.status == "fail"
    assert finding.number >= block


def test_many_scattered_copies_of_measured_rows_fail_and_a_few_only_warn():
    for copies, status in ((20, "warn"), (500, "fail")):
        chosen = RNG.integers(0, 400, copies)
        order = RNG.permutation(400 + copies)
        data, y = np.vstack([X, X[chosen]])[order], np.r_[Y, Y[chosen]][order]
        assert checks.check_duplicates(data, y).status == status


def test_codes_that_repeat_by_nature_are_no_fault():
    codes = RNG.integers(0, 2, (1000, 4)).astype(float)
    y = (codes.sum(axis=1) > 2).astype(int)
    assert checks.check_duplicates(codes, y).status == "warn"
    order = np.lexsort(codes.T)
    assert checks.check_duplicates(codes[order], y[order]).status == "warn"


def test_the_same_features_with_other_targets_are_no_copies():
    assert checks.check_duplicates(np.vstack([X, X]), np.arange(800)).status == "pass"


def test_constant_columns_are_listed():
    flat = X.copy()
    flat[:, [1, 3]] = 2.0
    for given_X in (flat, sp.csr_array(flat)):
        finding = checks.check_constant_columns(given_X, NAMES)
        assert finding.evidence["columns"] == ["column 1", "column 3"]
    assert checks.check_constant_columns(X, NAMES).status == "pass"
