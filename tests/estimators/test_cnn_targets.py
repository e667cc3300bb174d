"""Targets of CNNRegressor in any unit."""

import numpy as np
import pytest

from mlfund import CNNRegressor, load, save
from mlfund.diagnostics import diagnose
from mlfund.estimators._target_unit import TargetUnit
from mlfund.nets.layers import Activate, Conv, Flatten, Norm

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (120, 6, 6), dtype=np.uint8)
Y = X[:, :3].mean(axis=(1, 2)) - X[:, 3:].mean(axis=(1, 2))
LAYERS = [Conv(6), Norm(), Activate(), Flatten()]
QUICK = {"architecture": LAYERS, "max_iter": 8, "batch_size": 20, "random_state": 0}


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_the_unit_of_the_target_does_not_matter(loss):
    plain = CNNRegressor(loss=loss, **QUICK).fit(X, Y)
    assert plain.score(X, Y) > 0.8
    far = CNNRegressor(loss=loss, **QUICK).fit(X, 1e6 * Y + 1e8)
    np.testing.assert_allclose(far.predict(X), 1e6 * plain.predict(X) + 1e8, rtol=1e-3, atol=3e4)
    small = CNNRegressor(loss=loss, **QUICK).fit(X, 1e-6 * Y)
    np.testing.assert_allclose(small.predict(X), 1e-6 * plain.predict(X), rtol=1e-2, atol=1e-7)


def test_each_of_several_targets_has_its_unit():
    both = np.column_stack([1e5 * Y, 3.0 - 1e-3 * Y])
    model = CNNRegressor(**QUICK).fit(X, both)
    assert model.predict(X).shape == both.shape
    assert model.score(X, both) > 0.8


def test_a_constant_target_is_predicted():
    for value in (0.0, 7.0, 1e9):
        predicted = CNNRegressor(**QUICK).fit(X, np.full(120, value)).predict(X)
        np.testing.assert_allclose(predicted, value, atol=0.5)


def test_counts_keep_their_unit():
    counts = RNG.poisson(np.exp(Y / 40))
    model = CNNRegressor(loss="poisson", **QUICK).fit(X, counts)
    assert (model.predict(X) > 0).all()
    assert model.score(X, counts) > 0


def test_rows_without_weight_do_not_count_in_the_unit():
    strange, weight = Y.copy(), np.ones(120)
    strange[:20], weight[:20] = 1e6, 0
    model = CNNRegressor(**QUICK).fit(X, strange, sample_weight=weight)
    expected = CNNRegressor(**QUICK).fit(X[20:], Y[20:])
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-5, atol=1e-5)


def test_a_training_goes_on_in_the_unit_it_began_in():
    model = CNNRegressor(warm_start=True, **QUICK).fit(X, 1e3 * Y)
    before = model.loss_
    model.fit(X, 1e3 * Y)
    assert model.loss_ < before
    online = CNNRegressor(**QUICK)
    for _ in range(8):
        online.partial_fit(X, 1e3 * Y)
    assert online.score(X, 1e3 * Y) > 0.5


def test_validation_is_scored_in_the_unit_of_the_target():
    options = {**QUICK, "early_stopping": True, "validation_fraction": 0.3}
    model = CNNRegressor(scoring="neg_mean_absolute_error", **options).fit(X, 1e4 * Y)
    # Of a spread of about 3e5; standardised ones were about 1.
    assert -1e6 < model.best_validation_score_ < -1e3
    assert CNNRegressor(**options).fit(X, 1e4 * Y).best_validation_score_ > 0.3


def test_worst_predictions_are_found_in_the_unit_of_the_target():
    far = 1e4 * Y
    far[17] += 1e7
    model = CNNRegressor(**QUICK).fit(X, 1e4 * Y)
    assert model.top_losses(X, far, k=1)[0][0] == 17


def test_units_are_saved_and_loaded(tmp_path):
    model = CNNRegressor(**QUICK).fit(X, 1e4 * Y + 5)
    save(model, tmp_path / "m.skops")
    np.testing.assert_array_equal(load(tmp_path / "m.skops").predict(X), model.predict(X))


def test_units_are_those_of_numpy():
    y, weight = RNG.normal(5, 3, (50, 2)), RNG.random(50)
    unit = TargetUnit.of(y, None)
    np.testing.assert_allclose([unit.mean, unit.scale], [y.mean(axis=0), y.std(axis=0)])
    np.testing.assert_allclose(unit.restored(unit.standardised(y)), y)
    weighted = TargetUnit.of(y, weight)
    np.testing.assert_allclose(weighted.mean, np.average(y, axis=0, weights=weight))
    twice = TargetUnit.of(np.concatenate([y, y[:10]]), None)
    counted = TargetUnit.of(y, np.where(np.arange(50) < 10, 2.0, 1.0))
    np.testing.assert_allclose([twice.mean, twice.scale], [counted.mean, counted.scale])


def test_diagnosis_looks_at_targets_as_the_net_gets_them():
    far = diagnose(CNNRegressor(**QUICK), X, 1e6 * Y + 1e8, random_state=0)
    found = {finding.check: finding for finding in far.findings}["target_scale"]
    assert (found.status, round(found.number, 1)) == ("pass", 1)
