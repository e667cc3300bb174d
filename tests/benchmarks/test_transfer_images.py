"""The cells of the benchmark of transfer learning: chosen, stored, resumed, drawn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from benchmarks.transfer_images import collect, report
from benchmarks.transfer_images.cells import ALL, Cell, Folder, cells, measure
from benchmarks.transfer_images.flowers import Flowers
from benchmarks.transfer_images.methods import METHODS, Method

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
    b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
)
LABELS = np.repeat([0, 1], 30)


def dummies(strategy="uniform", **options):
    def make(seed, device):
        return DummyClassifier(strategy=strategy, random_state=seed)

    return {"dummy": Method(make, side=2, flat=True, **options)}


@pytest.fixture
def flowers():
    return Flowers([PNG] * 60, LABELS, [PNG] * 10, LABELS[::6])


def test_patterns_choose_cells():
    chosen = [str(cell) for cell in cells(METHODS, (5, ALL), 5) if cell.matches(["MLP/*/[01]"])]
    assert chosen == ["MLP/5/0", "MLP/5/1", "MLP/all/0", "MLP/all/1"]
    slow = [str(cell) for cell in cells(dummies(is_slow=True), (5, ALL), 2)]
    assert slow == ["dummy/5/0", "dummy/5/1", "dummy/all/0"]


def test_draws_are_balanced_and_the_same_for_all_methods(flowers):
    rows = flowers.drawn(7, draw=3)
    assert np.bincount(LABELS[rows]).tolist() == [7, 7]
    np.testing.assert_array_equal(rows, flowers.drawn(7, draw=3))
    assert set(rows) != set(flowers.drawn(7, draw=4))
    assert sorted(flowers.drawn(None, draw=0)) == list(range(60))


def test_cells_are_stored_and_measured_again_only_with_other_settings(flowers, tmp_path):
    folder, cell = Folder(tmp_path, dummies()), Cell("dummy", 5, 1)
    assert folder.read(cell) is None
    found = measure(cell, flowers, folder, None)
    assert found["n_train"] == 10
    folder.write(cell, found)
    assert folder.read(cell) == found
    assert Folder(tmp_path, dummies("prior")).read(cell) is None
    recorded = Folder(tmp_path / "elsewhere", dummies(), {str(cell): {**found, "accuracy": 0.25}})
    assert recorded.read(cell)["accuracy"] == 0.25
    recorded.write(cell, found)
    assert recorded.read(cell) == found
    result = collect([cell, Cell("dummy", 5, 2)], folder)
    assert [row["accuracy"] for row in result["rows"]] == [found["accuracy"]]
    assert f"{100 * found['accuracy']:.1f}" in report(result)


def test_the_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.transfer_images.picture import _common, draw

    rows = [
        {
            "method": method,
            "per_class": count,
            "n_train": n,
            "draw": draw,
            "accuracy": 0.5 + draw / 10,
        }
        for method in ("full", "MLP")
        for count, n in ((5, 25), (ALL, 2934))
        for draw in range(2)
    ]
    draw({"rows": rows}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000
    # Strategies are compared on what they share, others are left out of it.
    some = [*rows, {**rows[0], "method": "gradual", "draw": 1}]
    assert [(r["method"], r["per_class"], r["draw"]) for r in _common(some)] == [
        ("full", 5, 1),
        ("full", ALL, 0),
        ("full", ALL, 1),
        ("gradual", 5, 1),
    ]
