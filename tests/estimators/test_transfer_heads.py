"""Heads on embeddings: strengths, weights, heads of the user's own."""

from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import ImageTransferClassifier, ImageTransferRegressor, TextTransferClassifier
from mlfund.estimators import _transfer_heads

X, CODES = load_iris(return_X_y=True)
Y = np.array(["setosa", "versicolor", "virginica"])[CODES]


def classifier(**options):
    return ImageTransferClassifier(**{"backbone": "precomputed", "random_state": 0, **options})


of_texts = partial(TextTransferClassifier, backbone="precomputed")


def test_the_linear_head_is_logistic_regression_of_the_c_it_chose():
    model = classifier().fit(X, Y)
    twin = LogisticRegression(C=model.head_.C_, max_iter=1000, tol=1e-8).fit(X, Y)
    np.testing.assert_allclose(model.predict_proba(X), twin.predict_proba(X), atol=1e-3)
    assert model.strategy_ == "feature_extraction"
    assert list(model.classes_) == sorted(set(Y))
    assert model.score(X, Y) > 0.95


def test_the_scale_of_embeddings_changes_nothing():
    small = classifier().fit(X, Y).predict_proba(X)
    large = classifier().fit(100 * X, Y).predict_proba(100 * X)
    np.testing.assert_allclose(small, large, atol=1e-3)


def test_fewer_rows_than_features_give_the_model_that_all_features_give(monkeypatch):
    monkeypatch.setattr(_transfer_heads, "STRENGTHS", np.array([1.0, 100.0]))
    wide = np.random.RandomState(0).normal(size=(18, 40)) + 2.0
    y = np.repeat([0, 1, 2], 6)
    wide[:, 3] += y
    head = classifier().fit(wide, y).head_
    twin = LogisticRegressionCV(
        Cs=head.Cs_,
        l1_ratios=(0,),
        cv=head.cv,
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        tol=1e-8,
        max_iter=5000,
    ).fit(wide, y)
    assert head.C_ == twin.C_
    np.testing.assert_allclose(head.scores_, twin.scores_, atol=5e-3)
    np.testing.assert_allclose(head.predict_proba(wide), twin.predict_proba(wide), atol=5e-3)
    assert head.n_features_in_ == 40


def test_a_class_of_one_row_is_no_error():
    rows = [0, 50, 51, 100, 101, 102]
    model = classifier().fit(X[rows], Y[rows])
    assert model.predict_proba(X).shape == (150, 3)


def test_the_regressor_is_ridge_of_the_alpha_it_chose():
    target = X[:, 3]
    model = ImageTransferRegressor("precomputed").fit(X[:, :3], target)
    assert isinstance(model.head_, RidgeCV)
    assert model.score(X[:, :3], target) > 0.9
    several = ImageTransferRegressor("precomputed").fit(X[:, :2], X[:, 2:])
    assert several.predict(X[:, :2]).shape == (150, 2)


@pytest.mark.parametrize(
    "make", [classifier, partial(TextTransferClassifier, backbone="precomputed")]
)
def test_any_estimator_is_a_head_and_is_not_fitted_itself(make):
    forest = RandomForestClassifier(20, random_state=0)
    model = (
        make(backbone="precomputed", head=forest) if make is not classifier else make(head=forest)
    )
    model.fit(X, Y)
    expected = RandomForestClassifier(20, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert not hasattr(forest, "classes_")
    assert not hasattr(model, "decision_function")


def test_heads_that_take_no_weights_are_refused_with_weights():
    head = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(ValueError, match="takes no sample_weight"):
        classifier(head=head, class_weight="balanced").fit(X, Y)
    knn = classifier(head=KNeighborsClassifier()).fit(X, Y)
    assert knn.score(X, Y) > 0.9


def test_class_weight_moves_the_balance():
    rows = np.r_[50:100, 100:110]
    plain = classifier().fit(X[rows], Y[rows])
    balanced = classifier(class_weight="balanced").fit(X[rows], Y[rows])
    rare = (Y == "virginica") & ~np.isin(np.arange(150), rows)
    assert (balanced.predict(X[rare]) == "virginica").mean() > (
        plain.predict(X[rare]) == "virginica"
    ).mean()


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    weight = np.ones(150)
    weight[::3] = 0
    some = classifier().fit(X[weight > 0], Y[weight > 0])
    all_rows = classifier().fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(some.predict_proba(X), all_rows.predict_proba(X), atol=0.02)


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_heads_are_the_same_twice(head):
    some = slice(None, None, 5)
    once, twice = (classifier(head=head).fit(X[some], Y[some]).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(once, twice)


def test_bad_heads_and_strategies_are_named():
    with pytest.raises(ValueError, match="Did you mean 'linear'"):
        classifier(head="linar").fit(X, Y)
    with pytest.raises(ValueError, match="estimator of scikit-learn; got KNeighborsClassifier"):
        classifier(head=KNeighborsClassifier).fit(X, Y)
    with pytest.raises(ValueError, match="strategy='ful' is not known"):
        classifier(strategy="ful").fit(X, Y)
    with pytest.raises(ValueError, match="'precomputed' says that X holds embeddings"):
        classifier(strategy="full").fit(X, Y)
    with pytest.raises(ValueError, match="trains a linear head"):
        TextTransferClassifier(strategy="full", head="mlp").fit(["a", "b"], [0, 1])
    with pytest.raises(ValueError, match="one class"):
        classifier().fit(X, np.zeros(150))
