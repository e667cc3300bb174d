"""Run scikit-learn scripts on mlfund, unmodified.

``python -m mlfund.accelerate script.py`` runs a script, `install` begins an acceleration in a
program, ``%load_ext mlfund.accelerate`` one in a notebook. From then on the names that
scikit-learn re-exports (`sklearn.linear_model.LogisticRegression` and `LogisticRegressionCV`,
`sklearn.neural_network.MLPClassifier` and `MLPRegressor`, `sklearn.model_selection.GridSearchCV`
and `RandomizedSearchCV`) stand for subclasses of scikit-learn's classes whose `fit` is mlfund's
where that gives the same result, and scikit-learn's own where it does not.
"""

from __future__ import annotations

from typing import Any

from mlfund.accelerate._patch import replace, restore
from mlfund.accelerate._record import Record, activate, active

__all__ = ["Acceleration", "install", "report", "uninstall"]


class Acceleration:
    """An acceleration that `install` began; printed, it is the report of `report`.

    As a context manager it ends the acceleration at the end of the block, unless another
    `install` around it had begun it.
    """

    def __init__(self, record: Record, *, is_outermost: bool) -> None:
        self._record = record
        self._is_outermost = is_outermost

    def __enter__(self) -> Acceleration:
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_outermost and active() is self._record:
            uninstall()

    def __str__(self) -> str:
        return self._record.table()


def install(*, quiet: bool = False) -> Acceleration:
    """Replace scikit-learn's names, until `uninstall` or the end of a ``with`` block.

    Imports that come after it get the replacements. A module that has executed
    ``from sklearn.linear_model import LogisticRegression`` before keeps scikit-learn's class;
    which modules do is said.

    Parameters
    ----------
    quiet : bool, default=False
        Whether nothing is written to standard error; else each reason for which
        scikit-learn's own runs is said there once.

    Returns
    -------
    acceleration : Acceleration
        Also a context manager. If an acceleration is under way, the present one.

    Examples
    --------
    >>> import mlfund.accelerate
    >>> from sklearn.datasets import load_iris
    >>> with mlfund.accelerate.install(quiet=True):
    ...     from sklearn.linear_model import LogisticRegression
    ...
    ...     model = LogisticRegression().fit(*load_iris(return_X_y=True))
    >>> model.coef_.shape
    (3, 4)
    """
    record = active()
    if record is not None:
        return Acceleration(record, is_outermost=False)
    record = Record(quiet=quiet)
    replace(record)
    activate(record)
    return Acceleration(record, is_outermost=True)


def uninstall() -> None:
    """Give scikit-learn its names back; replacements that were imported act as its classes."""
    restore()
    activate(None)


def report() -> str:
    """Return what the present acceleration did: fits, seconds and reasons.

    Returns
    -------
    text : str
        For each replaced name the number of fits and their seconds, by mlfund and by
        scikit-learn; why scikit-learn's own ran; and what was said otherwise.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    record = active()
    if record is None:
        raise RuntimeError("no acceleration is under way: call mlfund.accelerate.install() first.")
    return record.table()


def load_ipython_extension(ipython: Any) -> None:
    """Begin an acceleration: what ``%load_ext mlfund.accelerate`` calls."""
    install()


def unload_ipython_extension(ipython: Any) -> None:
    """End it: what ``%unload_ext mlfund.accelerate`` calls."""
    uninstall()
