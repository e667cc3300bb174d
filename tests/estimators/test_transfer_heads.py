"""Heads on embeddings: strengths, weights, heads of the user's own."""

from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeClassifier,
    RidgeCV,
)
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from mlfund import (
    ImageTransferClassifier,
    ImageTransferRegressor,
    TextTransferClassifier,
    TextTransferRegressor,
)
from mlfund._check import DataError
from mlfund.estimators import _transfer_heads, _transfer_strength
from tests.backbones.tiny import Letters

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


def test_fewer_rows_than_features_give_the_model_that_all_features_give():
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
    for head, named in {
        KNeighborsClassifier(): r"head=KNeighborsClassifier\(\) takes no sample_weight",
        make_pipeline(StandardScaler(), KNeighborsClassifier()): r"last step KNeighborsClassifier",
    }.items():
        with pytest.raises(ValueError, match=named):
            classifier(head=head, class_weight="balanced").fit(X, Y)
    knn = classifier(head=KNeighborsClassifier()).fit(X, Y)
    assert knn.score(X, Y) > 0.9


@pytest.mark.parametrize("nest", ["pipeline", "pipelines", "search"])
def test_the_last_step_of_a_pipeline_takes_the_weights(nest):
    model = LogisticRegression(max_iter=1000)
    inner = make_pipeline(StandardScaler(), model)
    head = {
        "pipeline": inner,
        "pipelines": make_pipeline(StandardScaler(), inner),
        "search": GridSearchCV(inner, {"logisticregression__C": [1.0]}),
    }[nest]
    weight = 1.0 + np.arange(150) % 3
    found = classifier(head=head).fit(X, Y, sample_weight=weight).predict_proba(X)
    scaled = StandardScaler().fit_transform(X)
    expected = model.fit(scaled, Y, weight).predict_proba(scaled)
    np.testing.assert_allclose(found, expected, atol=1e-6)


class Neither:
    """Has `fit` and `predict`, and says nothing about itself."""

    def get_params(self, deep=True):
        return {}

    def fit(self, X, y):
        self.value = y[0]
        return self

    def predict(self, X):
        return np.full(len(X), self.value)


def test_heads_for_other_targets_are_refused():
    regressor = ImageTransferRegressor("precomputed", head=LogisticRegression())
    with pytest.raises(ValueError, match="is a classifier, and ImageTransferRegr"):
        regressor.fit(X, CODES)
    for wrong in (
        Ridge(),
        make_pipeline(StandardScaler(), Ridge()),
        GridSearchCV(Ridge(), {"alpha": [1.0]}),
    ):
        with pytest.raises(ValueError, match="is a regressor, and ImageTransferClass"):
            classifier(head=wrong).fit(X, Y)
    assert set(classifier(head=Neither()).fit(X, Y).predict(X)) == {"setosa"}


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
@pytest.mark.parametrize("make", [list, np.array, partial(pd.Series, dtype=object)])
def test_a_missing_label_is_named_by_its_row(missing, make):
    labels = ["a", "b", missing, "b"]
    y = np.array(labels, dtype=object) if make is np.array else make(labels)
    with pytest.raises(DataError, match="label in row 2 of y is missing; leave the rows"):
        classifier().fit(X[:4], y)
    with pytest.raises(DataError, match="label in row 2 of y is missing"):
        TextTransferClassifier(cache=False).fit(["a", "b", "c", "d"], y)


def test_targets_may_be_numbers_in_objects():
    y = np.array([Decimal(int(code)) for code in CODES], dtype=object)
    of_objects = ImageTransferRegressor("precomputed").fit(X, y).predict(X)
    np.testing.assert_array_equal(
        of_objects, ImageTransferRegressor("precomputed").fit(X, CODES).predict(X)
    )
    letters = [letter * 3 for letter in "abcdef"]
    model = TextTransferRegressor(Letters(), cache=False)
    assert model.fit(letters, pd.Series(range(6), dtype=object)).predict(letters).shape == (6,)
    for wrong in (["1", "2", "3"] * 2, [1, 2, None, 4, 5, 6], [1, 2, pd.NA, 4, 5, 6]):
        with pytest.raises(DataError, match="y must hold numbers, none of them NaN"):
            model.fit(letters, pd.Series(wrong, dtype=object))


def test_several_labels_of_a_row_are_for_other_estimators():
    with pytest.raises(ValueError, match=r"shape \(150, 2\).* make_pipeline\(BackboneFeatures"):
        classifier().fit(X, np.c_[CODES == 0, CODES < 2].astype(int))


def test_a_regressor_needs_two_rows():
    model = TextTransferRegressor(Letters(), cache=False)
    with pytest.raises(DataError, match="X has 1 sample, and a regressor learns from at least two"):
        model.fit(["abc"], [1.0])
    with pytest.raises(DataError, match="X has 1 sample of positive weight"):
        model.fit(["abc", "abd"], [1.0, 2.0], sample_weight=[0.0, 1.0])


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


def test_heads_without_iterations_count_one_and_perceptrons_their_epochs():
    assert ImageTransferRegressor("precomputed", head=Ridge()).fit(X[:, :3], X[:, 3]).n_iter_ == 1
    assert classifier(head=RidgeClassifier()).fit(X, Y).n_iter_ == 1
    some = slice(None, None, 5)
    model = classifier(head="mlp").fit(X[some], Y[some])
    assert model.n_iter_ == model.head_[-1].n_iter_ > 1
    net = ImageTransferRegressor("precomputed", head="mlp").fit(X[some, :3], X[some, 3])
    assert net.n_iter_ == net.head_[-1].regressor_.n_iter_ > 1


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_class_of_no_weight_is_refused_by_name(head):
    weight = (Y != "setosa").astype(float)
    with pytest.raises(ValueError, match="class 'setosa' have weight 0"):
        classifier(head=head).fit(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match="class 'setosa' have weight 0"):
        classifier(head=head, class_weight={"setosa": 0.0}).fit(X, Y)
    balance = {"virginica": 0.0, "setosa": 2.0}
    with pytest.raises(ValueError, match="class 'virginica' have weight 0"):
        classifier(head=head, class_weight=balance).fit(X, Y, sample_weight=np.ones(150))


@pytest.mark.parametrize("size", [0.01, 100.0])
def test_only_the_ratios_of_weights_matter(size):
    target, weight = X[:, 3], np.random.RandomState(0).uniform(0.5, 2, 150)
    ridge = ImageTransferRegressor("precomputed").fit(X[:, :3], target, weight)
    scaled = ImageTransferRegressor("precomputed").fit(X[:, :3], target, size * weight)
    np.testing.assert_allclose(scaled.predict(X[:, :3]), ridge.predict(X[:, :3]))
    same = classifier().fit(X, Y, weight).predict_proba(X)
    np.testing.assert_allclose(classifier().fit(X, Y, size * weight).predict_proba(X), same)


def test_rows_of_weight_zero_set_no_strengths_of_the_ridge():
    far, weight = X.copy(), np.ones(150)
    far[::3] *= 1000
    weight[::3] = 0
    known = weight > 0
    some = ImageTransferRegressor("precomputed").fit(X[known, :3], X[known, 3])
    all_rows = ImageTransferRegressor("precomputed").fit(far[:, :3], X[:, 3], weight)
    np.testing.assert_allclose(all_rows.head_.alphas, some.head_.alphas)
    np.testing.assert_allclose(all_rows.predict(X[:, :3]), some.predict(X[:, :3]))


def test_targets_in_other_units_choose_no_strength_for_each_other():
    rng = np.random.RandomState(0)
    E = rng.normal(size=(60, 40))
    linear, noise = E @ rng.normal(size=40), rng.normal(size=60)
    alone = ImageTransferRegressor("precomputed").fit(E, linear)
    both = ImageTransferRegressor("precomputed").fit(E, np.c_[1e6 * noise, linear])
    np.testing.assert_allclose(both.predict(E)[:, 1], alone.predict(E), rtol=1e-6)
    constant = ImageTransferRegressor("precomputed").fit(E, np.c_[np.ones(60), linear])
    np.testing.assert_allclose(constant.predict(E)[:, 1], alone.predict(E), rtol=1e-6)


def test_the_gain_for_several_targets_is_the_mean_of_theirs():
    rng = np.random.RandomState(0)
    E = rng.normal(size=(60, 5))
    targets = np.c_[E[:, 0] + rng.normal(size=60), 1e6 * (E[:, 1] + rng.normal(size=60))]
    single = [gain(E, target)[0] for target in targets.T]
    assert gain(E, targets)[0] == pytest.approx(np.mean(single))
    assert gain(E, np.c_[targets, np.zeros(60)])[0] == pytest.approx(np.mean(single))
    assert gain(E, np.zeros((60, 2)))[0] is None


@pytest.mark.parametrize("signal", [1e-3, 0.1, 1, 3])
@pytest.mark.parametrize("n_views", [1, 2])
def test_the_walk_finds_the_strength_that_the_whole_grid_has(signal, n_views, monkeypatch):
    rng = np.random.RandomState(0)
    y = np.arange(90) % 3
    E = signal * np.eye(3)[y] @ rng.normal(size=(3, 8)) + rng.normal(size=(90, 8))
    views = [E, E + 0.3 * rng.normal(size=E.shape)][:n_views]
    walked = _transfer_heads.fit_linear_classifier(views, y, None, 0)
    assert 5 <= len(walked.Cs_) <= 13
    assert walked.scores_.shape[-1] == len(walked.Cs_) == walked.n_iter_.shape[-1]
    assert (np.diff(walked.Cs_) > 0).all()
    monkeypatch.setattr(_transfer_strength, "BEYOND", 13)
    whole = _transfer_heads.fit_linear_classifier(views, y, None, 0)
    assert len(whole.Cs_) == 13
    np.testing.assert_allclose(walked.C_, whole.C_)
    np.testing.assert_allclose(walked.coef_, whole.coef_, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("head", ["linear", "mlp", make_pipeline(LinearSVC())])
def test_weights_reach_the_head_under_metadata_routing(head):
    weight = np.where(Y == "setosa", 3.0, 1.0)
    plain = classifier(head=head).fit(X, Y, weight).predict(X)
    with config_context(enable_metadata_routing=True):
        routed = classifier(head=head).fit(X, Y, weight)
        np.testing.assert_array_equal(routed.predict(X), plain)
        classifier(head=head, class_weight="balanced").fit(X, Y)
        asked = classifier(head=head).set_fit_request(sample_weight=True)
        asked.set_score_request(sample_weight=True)
        scores = cross_val_score(
            asked, X, Y, params={"sample_weight": weight}, cv=2, error_score="raise"
        )
    assert min(scores) > 0.8


def gain(E, y, weight=None):
    """Return the gain of a linear head on held-out rows, and the head."""
    views, known, weights = _transfer_heads.counted([E], y, weight)
    if y.dtype.kind == "f":
        head = _transfer_heads.linear_regressor(views[0])
        head = _transfer_heads.fit_own(head, views[0], known, weights)
    else:
        head = _transfer_heads.fit_linear_classifier(views, known, weights, 0)
    return _transfer_heads.held_out_gain(head, y, weight), head


def test_the_gain_of_a_ridge_is_its_weighted_r2_on_rows_left_out():
    target, weight = X[:, 3], np.random.RandomState(0).uniform(0, 0.1, 150)
    found, head = gain(X[:, :3], target, weight)
    model = Ridge(alpha=head.alpha_ * weight.mean())
    left_out = cross_val_predict(
        model, X[:, :3], target, cv=LeaveOneOut(), params={"sample_weight": weight}
    )
    assert found == pytest.approx(r2_score(target, left_out, sample_weight=weight), abs=1e-6)


def test_the_gain_of_a_classifier_compares_with_the_classes_as_they_are_weighed():
    rows = np.r_[50:100, 100:105]
    E, y = X[rows], Y[rows]
    by_class = np.where(y == "virginica", 10.0, 1.0)
    balanced, head = gain(E, y, by_class)
    assert balanced == pytest.approx(1 + head.scores_.mean(axis=0).max() / np.log(2))
    assert balanced > 0.3
    weight = np.ones(150)
    weight[::3] = 0
    assert gain(X, Y, weight)[0] == pytest.approx(gain(X[weight > 0], Y[weight > 0])[0])
