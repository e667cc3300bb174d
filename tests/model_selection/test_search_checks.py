"""scikit-learn's checks of estimators, on searches that stack other models than the public one."""

import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import BatchedGridSearchCV, LinearRegressor, LogisticRegression
from tests.check_estimators import run

SEARCHED = {
    "linear": (LinearRegressor(), {"alpha": [0.1, 1.0]}),
    "scaled": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [0.1, 1.0]},
    ),
    "projected": (
        make_pipeline(PCA(), LinearRegressor()),
        {"linearregressor__alpha": [0.1, 1.0]},
    ),
}


@pytest.mark.parametrize("name", SEARCHED)
def test_no_check_fails(name):
    estimator, grid = SEARCHED[name]

    results = run(BatchedGridSearchCV(estimator, grid, cv=2, error_score="raise"))

    assert len(results) > 45
    assert [result for result in results if result["status"] not in ("passed", "skipped")] == []
