"""The picture of a search shows the numbers of its table, and says what it leaves out."""

import itertools
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from mlfund.model_selection._plot import PlottedSearch

matplotlib.use("Agg")


class Search(PlottedSearch, BaseEstimator):
    """A table of scores as a search has it, without the search."""

    def __init__(self, candidates, test, train=None, *, metrics=("score",), refit=True):
        self.scoring, self.refit = None, refit
        self.cv_results_ = {"params": candidates}
        for metric in metrics:
            for kind, values in (("test", test), ("train", train)):
                if values is None:
                    continue
                values = np.asarray(values, float)
                self.cv_results_[f"mean_{kind}_{metric}"] = values.mean(axis=1)
                for k, column in enumerate(values.T):
                    self.cv_results_[f"split{k}_{kind}_{metric}"] = column

    def fit(self):
        """Nothing: `check_is_fitted` asks that there is one."""


def grid(**values):
    return [
        dict(zip(values, combination, strict=True))
        for combination in itertools.product(*values.values())
    ]


def scores(n, n_splits=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_splits))


def lines_of(axis):
    lines = {line.get_label(): line.get_xydata() for line in axis.get_lines()}
    bars = {bar.get_label(): bar.lines[0].get_xydata() for bar in axis.containers}
    return lines | bars


def band_of(axis, number):
    """Lowest and highest value of a band at each x."""
    (path,) = axis.collections[number].get_paths()
    x, y = path.vertices.T
    places = np.unique(x)
    return np.array([[y[x == place].min(), y[x == place].max()] for place in places])


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def test_one_number_gives_a_validation_curve():
    candidates = grid(clf__C=[10.0, 0.01, 1.0, 0.1])
    test, train = scores(4), scores(4, seed=1)
    (axis,) = Search(candidates, test, train).plot()
    order = [1, 3, 2, 0]
    for rows, values in (("training rows", train), ("held-out rows", test)):
        expected = np.stack([[0.01, 0.1, 1, 10], values.mean(axis=1)[order]], axis=1)
        np.testing.assert_allclose(lines_of(axis)[rows], expected)
    for number, values in enumerate((train, test)):
        middle, spread = values.mean(axis=1)[order], values.std(axis=1)[order]
        expected = np.stack([middle - spread, middle + spread], axis=1)
        np.testing.assert_allclose(band_of(axis, number), expected)
    best = test.mean(axis=1).argmax()
    expected = [[candidates[best]["clf__C"], test[best].mean()]]
    np.testing.assert_allclose(lines_of(axis)["best"], expected)
    assert axis.get_xscale() == "log"
    assert axis.get_xlabel() == "C"
    assert axis.get_title() == "mean and standard deviation over 4 splits"


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1, 2, 3], "linear"), ([0, 1, 100], "linear"), ([1, 5, 10], "log"), ([-1, 1], "linear")],
)
def test_the_axis_is_logarithmic_where_positive_values_span_a_decade(values, scale):
    (axis,) = Search(grid(depth=values), scores(len(values))).plot()
    assert axis.get_xscale() == scale


def test_names_lie_side_by_side_in_the_order_they_came():
    values = [StandardScaler(), MinMaxScaler(), "passthrough", None, np.log1p, (3, 4), 0.1234567]
    test = scores(len(values))
    (axis,) = Search(grid(step=values), test).plot()
    names = [label.get_text() for label in axis.get_xticklabels()]
    expected = "StandardScaler() MinMaxScaler() passthrough None log1p (3,_4) 0.123"
    assert " ".join(name.replace(" ", "_") for name in names) == expected
    np.testing.assert_allclose(lines_of(axis)["held-out rows"][:, 1], test.mean(axis=1))


def test_two_parameters_give_a_heat_map_with_its_numbers():
    candidates = grid(depth=[3, 1, 2, 5], leaf=[10, 20])
    test, train = scores(8), scores(8, seed=1)
    axes = Search(candidates, test, train).plot()
    assert len(axes) == 2
    for axis, values in zip(axes, (test, train), strict=True):
        cells = np.asarray(axis.get_images()[0].get_array())
        for candidate, mean in zip(candidates, values.mean(axis=1), strict=True):
            column, row = [1, 2, 3, 5].index(candidate["depth"]), [10, 20].index(candidate["leaf"])
            assert cells[row, column] == mean
    assert [axis.get_title() for axis in axes] == [
        "held-out rows, mean ± standard deviation over 4 splits",
        "training rows, mean ± standard deviation over 4 splits",
    ]
    written = axes[0].texts[0].get_text()
    first = candidates.index({"depth": 1, "leaf": 10})
    mean, spread = written.split("\n±")
    assert float(mean) == pytest.approx(test[first].mean(), abs=0.1)
    assert float(spread) == pytest.approx(test[first].std(), abs=0.1)
    (frame,) = axes[0].patches
    best = candidates[test.mean(axis=1).argmax()]
    place = ([1, 2, 3, 5].index(best["depth"]) - 0.5, [10, 20].index(best["leaf"]) - 0.5)
    assert frame.get_xy() == place


def test_two_drawn_parameters_give_points():
    random = np.random.default_rng(0)
    drawn = [{"a": 10.0**x, "b": y} for x, y in random.uniform(-3, 0, size=(20, 2))]
    test = scores(20)
    test[3] = np.nan
    (axis,) = Search(drawn, test).plot()
    points = axis.collections[0]
    shown = {tuple(xy) for xy in points.get_offsets().compressed().reshape(-1, 2)}
    kept = [p for k, p in enumerate(drawn) if k != 3]
    assert shown >= {(p["a"], p["b"]) for p in kept}
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "linear")
    assert "mean over 4 splits" in axis.get_title()


def test_more_parameters_give_the_best_over_the_others():
    candidates = grid(a=[1, 2, 3], b=["x", "y"], c=[0.1, 0.2])
    test = scores(12)
    means = test.mean(axis=1)
    axes = Search(candidates, test).plot()
    assert [axis.get_xlabel() for axis in axes] == ["a", "b", "c"]
    assert {axis.get_title() for axis in axes} == {"best over the 2 other parameters"}
    tops = [[a, means[[c["a"] == a for c in candidates]].max()] for a in (1, 2, 3)]
    np.testing.assert_allclose(lines_of(axes[0])["held-out rows"], tops)
    assert len(lines_of(axes[0])["other candidates"]) == 9
    assert len({axis.get_ylim() for axis in axes}) == 1


def test_more_drawn_parameters_give_each_candidate():
    random = np.random.default_rng(0)
    drawn = [{"a": x, "b": y, "c": z} for x, y, z in random.normal(size=(15, 3))]
    axes = Search(drawn, scores(15)).plot()
    assert {axis.get_title() for axis in axes} == {
        "each candidate, whatever the 2 other parameters"
    }
    assert all(len(lines_of(axis)["held-out rows"]) == 15 for axis in axes)


def test_a_list_of_grids_draws_each_parameter_where_it_is():
    axes = Search([*grid(a=[1, 2]), *grid(b=[3, 4])], scores(4)).plot()
    assert [lines_of(axis)["held-out rows"][:, 0].tolist() for axis in axes] == [[1, 2], [3, 4]]


def test_only_the_last_iteration_of_halving_counts():
    test = scores(6)
    search = Search([*grid(a=[1, 2, 3]), *grid(a=[1, 3]), {"a": 3}], test)
    search.cv_results_["iter"] = np.array([0, 0, 0, 1, 1, 2])
    (axis,) = search.plot()
    np.testing.assert_allclose(lines_of(axis)["held-out rows"][:, 1], test.mean(axis=1)[[3, 1, 5]])


def test_the_score_of_refit_is_drawn_unless_another_is_named():
    both = Search(grid(a=[1, 2]), scores(2), metrics=("f1", "loss"), refit="loss")
    assert both.plot()[0].get_ylabel() == "loss"
    assert both.plot(score="f1")[0].get_ylabel() == "f1"
    with pytest.raises(ValueError, match="score='f2' is not known; allowed are 'f1', 'loss'"):
        both.plot(score="f2")


def test_the_best_is_that_of_the_search():
    search = Search(grid(a=[1, 2, 3]), scores(3))
    search.best_index_ = int(search.cv_results_["mean_test_score"].argmin())
    (axis,) = search.plot()
    assert lines_of(axis)["best"][0, 0] == search.best_index_ + 1


def test_failures_are_left_out():
    test = scores(3)
    test[1] = np.nan
    (axis,) = Search(grid(a=[1, 2, 3]), test).plot()
    assert lines_of(axis)["held-out rows"][:, 0].tolist() == [1, 3]
    for candidates in (grid(a=[1, 2]), grid(a=[1, 2], b=[1, 2]), [*grid(a=[1, 2]), {"b": "c"}]):
        axes = Search(candidates, np.full((len(candidates), 2), np.nan)).plot()
        axes[0].figure.draw_without_rendering()


def test_own_axes_are_taken_and_counted():
    figure, axes = pyplot.subplots(2)
    search = Search([*grid(a=[1, 2]), *grid(b=[3, 4])], scores(4))
    drawn = search.plot(axes=axes)
    assert all(axis.figure is figure for axis in drawn)
    one = Search(grid(a=[1, 2]), scores(2))
    assert one.plot(axes=axes[0])[0] is axes[0]
    with pytest.raises(ValueError, match="axes must hold 1 axes, one for each chart; got 2"):
        one.plot(axes=axes)


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="candidates that differ"):
        Search([{"a": 1}], scores(1)).plot()
    with pytest.raises(ValueError, match="candidates that differ"):
        Search([{}], scores(1)).plot()
    search = Search(grid(a=[1, 2]), scores(2))
    del search.cv_results_
    with pytest.raises(NotFittedError):
        search.plot()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"mlfund\[plot\]"):
        Search(grid(a=[1, 2]), scores(2)).plot()


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(1e-6, 1e6),
    st.sampled_from([np.inf, "name", "a rather long name of a value", (1, 2), [3], np.float32(2)]),
)


@settings(max_examples=15)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "s__b", "t__b", "c"]), VALUES, min_size=1),
        min_size=2,
        max_size=7,
    ),
    st.randoms(use_true_random=False),
)
def test_any_search_can_be_drawn(candidates, random):
    test = np.array([[random.choice([0.5, 0.7, np.nan, -np.inf])] * 2 for _ in candidates])
    search = Search(candidates, test)
    if all(repr(candidate) == repr(candidates[0]) for candidate in candidates):
        return
    search.plot()
    pyplot.close("all")
