"""The picture of a search: its scores by the parameters that were varied."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from mlfund._check import check_choice, require
from mlfund.model_selection._plot_panels import draw_cells, draw_points, draw_profile

# Share of the combinations of two parameters that must be there for a heat map.
FILLED = 0.5
# Share of candidates with a value of their own from which values were drawn at random.
DRAWN = 0.5


@dataclass(frozen=True)
class Parameter:
    """One parameter that differs among candidates.

    Attributes
    ----------
    label : str
        Its name, without the step of a pipeline where that leaves no doubt.
    levels : sequence
        Its distinct values: numbers in order, others as they came.
    level_of : ndarray of int, one a candidate
        Position in `levels`; -1 where the candidate does not have the parameter.
    numeric : bool
        Whether all are finite numbers.
    """

    label: str
    levels: Sequence[Any]
    level_of: NDArray[np.intp]
    numeric: bool


@dataclass(frozen=True)
class Scores:
    """The scores of all candidates, as they are drawn.

    Attributes
    ----------
    label : str
        What is scored.
    test : ndarray of shape (n_candidates, n_splits)
        On held-out rows.
    train : ndarray of shape (n_candidates, n_splits) or None
        On the rows trained on.
    best : int or None
        The best candidate, None where all failed.
    """

    label: str
    test: NDArray[np.float64]
    train: NDArray[np.float64] | None
    best: int | None


class PlottedSearch:
    """Gives a search the method `plot`."""

    cv_results_: dict[str, Any]

    def plot(self, *, score: str | None = None, axes: Any = None) -> NDArray[Any]:
        """Draw the scores by the parameters that were varied.

        One parameter gives a validation curve: the mean over the splits and a band of one
        standard deviation. Two give a heat map, or points where values were drawn at
        random. More give a chart each, with the best candidate at every value: the best
        over all other parameters. Scores on the training rows are drawn where the search
        has them (`return_train_score`). Axes are logarithmic where positive values span
        more than a decade. Of a successive halving, each candidate's last iteration counts.

        Parameters
        ----------
        score : str, default=None
            Which of several scores; None takes the one that `refit` names, or the first.
        axes : matplotlib axes or array-like of them, default=None
            Where to draw, one for each chart; a new figure is made without it.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
            One for each chart; ``axes[0].figure.savefig("search.png")`` writes a file.

        Raises
        ------
        ValueError
            If all candidates are alike, `score` is none of the search's, or the number of
            axes is not that of the charts.
        ImportError
            If matplotlib is not installed: ``pip install 'mlfund[plot]'``.
        """
        check_is_fitted(self, "cv_results_")
        rows = _last_rows(self.cv_results_)
        parameters = _varied([self.cv_results_["params"][row] for row in rows])
        if not parameters:
            raise ValueError(
                "plot needs candidates that differ in a parameter; those of this search do not."
            )
        return _draw(parameters, _scores(self, score, rows), axes)


def _last_rows(results: Mapping[str, Any]) -> list[int]:
    """Return the row of each candidate, the last one where it was evaluated again."""
    if "iter" not in results:
        return list(range(len(results["params"])))
    rows = {}
    for row, parameters in enumerate(results["params"]):
        rows[frozenset((name, _key(value)) for name, value in parameters.items())] = row
    return list(rows.values())


def _scores(search: Any, score: str | None, rows: Sequence[int]) -> Scores:
    results = search.cv_results_
    names = [name[len("mean_test_") :] for name in results if name.startswith("mean_test_")]
    default = search.refit if search.refit in names else names[0]
    name = default if score is None else check_choice("score", score, names)
    n_splits = sum(key.startswith("split") and key.endswith(f"_test_{name}") for key in results)

    def table(kind: str) -> NDArray[np.float64]:
        columns = [results[f"split{k}_{kind}_{name}"] for k in range(n_splits)]
        return np.stack(columns, axis=1)[rows]

    test = table("test")
    means = test.mean(axis=1)
    best = int(np.nanargmax(means)) if np.isfinite(means).any() else None
    if name == default and getattr(search, "best_index_", None) in rows:
        best = rows.index(search.best_index_)
    label = name
    if name == "score":
        scoring = search.scoring
        label = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    train = table("train") if f"split0_train_{name}" in results else None
    return Scores(label, test, train, best)


def _varied(candidates: Sequence[Mapping[str, Any]]) -> list[Parameter]:
    """Return the parameters that have more than one value, or are not always there."""
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    short = [name.rpartition("__")[2] for name in names]
    parameters = []
    for name, last in zip(names, short, strict=True):
        # levels by key: values may be unhashable, and True is not 1
        levels = {_key(c[name]): c[name] for c in candidates if name in c}
        if len(levels) < 2 and all(name in candidate for candidate in candidates):
            continue
        numeric = all(map(_is_number, levels.values()))
        keys = sorted(levels, key=levels.__getitem__) if numeric else list(levels)
        place = {key: level for level, key in enumerate(keys)}
        level_of = [place[_key(c[name])] if name in c else -1 for c in candidates]
        label = last if short.count(last) == 1 else name
        values = [levels[key] for key in keys]
        parameters.append(Parameter(label, values, np.array(level_of), numeric))
    return parameters


def _is_number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return bool(np.isfinite(float(value)))


def _key(value: Any) -> Hashable:
    if isinstance(value, Hashable):
        try:
            hash(value)
        except TypeError:
            # a tuple of lists
            return repr(value)
        return isinstance(value, bool), value
    return repr(value)


def _draw(parameters: Sequence[Parameter], scores: Scores, axes: Any) -> NDArray[Any]:
    kinds = [("held-out rows", scores.test)]
    if scores.train is not None:
        kinds.append(("training rows", scores.train))
    two = len(parameters) == 2 and all((p.level_of >= 0).all() for p in parameters)
    if two:
        x, y = sorted(parameters, key=lambda parameter: -len(parameter.levels))
        axes = _axes(axes, len(kinds), width=min(max(4.4, 1.6 + 0.66 * len(x.levels)), 9.5))
        n_filled = len(set(zip(x.level_of, y.level_of, strict=True)))
        draw = draw_cells
        if n_filled <= FILLED * len(x.levels) * len(y.levels):
            draw = draw_points
        for axis, (rows, values) in zip(axes, kinds, strict=True):
            draw(axis, x, y, scores.label, values, scores.best, rows)
        return axes
    n_others = len(parameters) - 1
    own_figure = axes is None
    axes = _axes(axes, len(parameters), width=4.4)
    for axis, parameter in zip(axes, parameters, strict=True):
        drawn = n_others > 0 and len(parameter.levels) > DRAWN * len(parameter.level_of)
        draw_profile(axis, parameter, scores, n_others, connected=not drawn)
    if own_figure:
        ends = np.array([axis.get_ylim() for axis in axes])
        for axis in axes:
            axis.set_ylim(ends[:, 0].min(), ends[:, 1].max())
    return axes


def _axes(axes: Any, n: int, width: float) -> NDArray[Any]:
    """Return the axes for n charts, of a new figure where none are given.

    `width` is that of a chart, in inches.
    """
    pyplot = require("matplotlib.pyplot", "plot")
    if axes is not None:
        given = np.ravel(axes)
        if len(given) != n:
            raise ValueError(f"axes must hold {n} axes, one for each chart; got {len(given)}.")
        return given
    columns = min(n, 3)
    n_rows = -(-n // columns)
    size = (1.4 + width * columns, 0.4 + 3.6 * n_rows)
    _, axes = pyplot.subplots(n_rows, columns, figsize=size, layout="constrained", squeeze=False)
    for unused in axes.ravel()[n:]:
        unused.remove()
    return axes.ravel()[:n]
