"""What a linear regressor says of a fit that did not reach its tolerance."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning

from mlfund._solvers.regression import HOMOTOPY, INTERIOR, RegressionFit

# Gradients at which rounding ended a fit without a warning: in units of `tol`, and absolute.
FAR, LEAST_FAR = 100, 1e-5


def warn_of(estimator, fit: RegressionFit, X, *, stacklevel: int) -> None:
    """Warn if `max_iter` ended the fit, or rounding far from the tolerance."""
    kinked = fit.solver in (HOMOTOPY, INTERIOR)
    if fit.status == "max_iter":
        advice = f"Increase max_iter={estimator.max_iter}, or loosen tol."
    elif fit.status == "rounding" and (kinked or fit.gradient > _excused(estimator.tol, X)):
        advice = "Rounding allows no smaller one: loosen tol, or rescale the columns of X."
    else:
        return
    what = "relative duality gap" if kinked else "largest entry of the gradient"
    warnings.warn(
        f"LinearRegressor ({fit.solver}) ended after {fit.n_iter} iteration(s) with a {what} "
        f"of {fit.gradient:.2g}, and tol={estimator.tol:g}. {advice}",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )


def _excused(tol: float, X) -> float:
    """Return the largest gradient that rounding explains: that of columns in large units."""
    return max(FAR * tol, LEAST_FAR) * max(1.0, float(abs(X).max()))
