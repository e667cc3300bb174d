"""A search takes less than the data once more, its weights, and a batch of activations."""

import json
import subprocess
import sys

import pytest

from mlfund._measure import reset_peak_memory

PROGRAM = """
import json, sys, warnings
import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from mlfund import BatchedGridSearchCV, LinearRegressor, LogisticRegression, MLPClassifier
from mlfund._measure import current_memory_bytes, peak_memory_bytes, reset_peak_memory

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
FINALS = {
    "logistic": LogisticRegression(),
    "linear": LinearRegressor(),
    "mlp": MLPClassifier((16,), max_iter=1, random_state=0),
    "wide mlp": MLPClassifier((32,), max_iter=1, random_state=0),
}

def peak_of(model, parameter, n_values, n, d, limit):
    X = rng.standard_normal((n, d))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    pipeline = Pipeline([("scaler", StandardScaler()), ("final", FINALS[model])])
    grid = {f"final__{parameter}": np.logspace(-3, 1, n_values)}
    search = BatchedGridSearchCV(pipeline, grid, cv=4, refit=False, memory_limit=limit)
    before = current_memory_bytes()
    reset_peak_memory()
    search.fit(X, y)
    assert search.cv_results_["batched"].all(), search.batched_reasons_
    return peak_memory_bytes() - before

peaks = []
for model, parameter, *sizes in json.loads(sys.argv[1]):
    # What is imported and compiled once is no part of a search.
    peak_of(model, parameter, 2, 200, 5, None)
    peaks.append(peak_of(model, parameter, *sizes))
print(json.dumps(peaks))
"""
MEGABYTE = 10**6
N_SPLITS = 4
# Activations of a batch to train on and of one to score, and what the allocator keeps.
BATCH = 30 * MEGABYTE
# Of a weight, in float64: gradient, best value, and what an optimizer remembers.
ARRAYS = 28
# Name, parameter, number of its values, rows, columns, limit.
CASES = {
    "logistic": ("logistic", "C", 10, 50_000, 100, None),
    "linear": ("linear", "alpha", 10, 50_000, 100, None),
    "mlp": ("mlp", "alpha", 2, 50_000, 100, None),
    "free": ("wide mlp", "alpha", 30, 1000, 1000, None),
    "limited": ("wide mlp", "alpha", 30, 1000, 1000, 20 * MEGABYTE),
}


@pytest.fixture(scope="module")
def peaks():
    """Bytes of the peak of each search above what there was before it."""
    if not reset_peak_memory():
        pytest.skip("this system does not let a peak be measured")
    call = [sys.executable, "-c", PROGRAM, json.dumps(list(CASES.values()))]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("model", "width"), [("logistic", 1), ("linear", 1), ("mlp", 16)])
def test_the_data_are_held_no_more_than_twice(peaks, model, width):
    _, _, n_candidates, n, d, _ = CASES[model]
    data, weights = 8 * n * d, 8 * n_candidates * N_SPLITS * width * d
    # The first time they were there before. A copy for each split would be three times.
    assert peaks[model] < data + ARRAYS * weights + BATCH
    assert ARRAYS * weights + BATCH < 1.5 * data


def test_a_limit_is_kept(peaks):
    """What is at work keeps the limit; the finished models of a split come on top."""
    _, _, n_candidates, n, d, limit = CASES["limited"]
    data, weights = 8 * n * d, 8 * n_candidates * N_SPLITS * 32 * d
    assert peaks["limited"] < data + limit + 2 * weights + BATCH
    assert peaks["free"] > peaks["limited"] + 2 * limit
