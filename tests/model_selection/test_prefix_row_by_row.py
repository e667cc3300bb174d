"""Transformers that take each row by itself run once for a whole batched search."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import BackboneFeatures, BatchedGridSearchCV, EmbeddingCache, LogisticRegression
from mlfund.model_selection._prefix import FailedRows, prepare_rows, split_estimator
from tests.backbones.tiny import CountingBody, image_source, images

X, Y = images(40), np.arange(40) % 2
X[Y == 1, :, :, 0] //= 3
SPLITS = list(KFold(4, shuffle=True, random_state=0).split(X))
GRID = {"logisticregression__C": np.logspace(-2, 4, 50)}


@pytest.fixture(autouse=True)
def nothing_computed():
    CountingBody.batches.clear()


@pytest.fixture
def features(tmp_path):
    return BackboneFeatures(image_source(), cache=EmbeddingCache(tmp_path))


def prepared(estimator, fit_params=None, **options):
    options = {"takes_affine": True, **options}
    return list(prepare_rows(split_estimator(estimator), X, Y, SPLITS, fit_params or {}, **options))


def test_all_splits_share_the_rows(features):
    pipeline = Pipeline([("pass", None), ("embed", features), ("head", LogisticRegression())])
    (rows,) = prepared(pipeline, numbers=[3, 1, 0, 2])
    np.testing.assert_array_equal(rows.X, features.transform(X))
    assert rows.splits is SPLITS
    assert list(rows.numbers) == [3, 1, 0, 2]
    fitted = rows.fitted(pipeline, 1, LogisticRegression().fit(rows.X, Y))
    assert [name for name, _ in fitted.steps] == ["pass", "embed", "head"]
    assert fitted.predict(X).shape == (40,)


def test_a_scaler_behind_is_numbers(features):
    (rows,) = prepared(make_pipeline(features, StandardScaler(), LogisticRegression()))
    train = SPLITS[2][0]
    scaler = StandardScaler().fit(rows.X[train])
    np.testing.assert_allclose(rows.affine.centre[2], scaler.mean_, rtol=1e-6)
    names = [name for name, _ in rows.fitted_leading(2)]
    assert names == ["backbonefeatures", "standardscaler"]
    np.testing.assert_allclose(rows.fitted_leading(2)[1][1].mean_, scaler.mean_, rtol=1e-6)


def test_other_transformers_behind_see_their_split(features):
    pipeline = make_pipeline(features, PCA(2), LogisticRegression())
    all_rows = prepared(pipeline, train_scores=True)
    assert [list(rows.numbers) for rows in all_rows] == [[0], [1], [2], [3]]
    embedded = features.transform(X)
    for rows, (train, test) in zip(all_rows, SPLITS, strict=True):
        expected = PCA(2).fit(embedded[train]).transform(embedded[test])
        np.testing.assert_allclose(rows.X[rows.splits[0][1]], expected, rtol=1e-4, atol=1e-5)
        assert len(rows.fitted_leading(0)) == 2
    assert sum(CountingBody.batches) == 40


class Demanding(TransformerMixin, BaseEstimator):
    """Row by row, but its `fit` takes something."""

    transforms_row_by_row = True

    def fit(self, X, y=None, shade=None):
        self.shade_ = shade
        return self

    def transform(self, X):
        return np.asarray(X).reshape(len(X), -1).astype(float)


def test_a_step_that_is_given_something_in_fit_is_fitted_a_split():
    pipeline = make_pipeline(Demanding(), LogisticRegression())
    assert len(prepared(pipeline)) == 1
    assert len(prepared(pipeline, {"demanding__shade": 3})) == 4


def test_rows_that_cannot_be_read_are_handed_on(features):
    pipeline = make_pipeline(features, LogisticRegression())
    (failed,) = prepare_rows(
        split_estimator(pipeline), ["no file"] * 40, Y, SPLITS, {}, takes_affine=True
    )
    assert isinstance(failed, FailedRows)
    assert "no file" in str(failed.error)
    assert list(failed.numbers) == [0, 1, 2, 3]


@pytest.mark.parametrize("scaled", [False, True])
def test_a_search_of_fifty_heads(features, scaled):
    front = [features, StandardScaler()] if scaled else [features]
    model = make_pipeline(*front, LogisticRegression())
    options = {"cv": SPLITS, "scoring": "neg_log_loss", "return_train_score": True}
    ours = BatchedGridSearchCV(model, GRID, **options).fit(X, Y)
    assert ours.cv_results_["batched"].all()
    assert sum(CountingBody.batches) == 40
    model.steps[-1] = ("logisticregression", SklearnLogisticRegression(tol=1e-6, max_iter=1000))
    theirs = GridSearchCV(model, GRID, **options).fit(X, Y)
    for name in ("mean_test_score", "mean_train_score"):
        np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], atol=2e-3)
    assert sum(CountingBody.batches) == 40


def test_no_cache_is_needed_for_one_pass():
    model = make_pipeline(BackboneFeatures(image_source(), cache=False), LogisticRegression())
    search = BatchedGridSearchCV(model, GRID, cv=SPLITS, refit=False).fit(X, Y)
    assert search.cv_results_["batched"].all()
    assert sum(CountingBody.batches) == 40
