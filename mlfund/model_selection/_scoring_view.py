"""One model of a stack as scorers that only predict see it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

# What a scorer can ask of an estimator.
METHODS = ("predict", "predict_proba", "decision_function")


def _like_the_estimator(method: str) -> Any:
    """Make a method exist where the estimator has it."""
    return available_if(lambda view: hasattr(view._estimator, method))


class ModelView:
    """An estimator whose predictions of the held-out rows are already there.

    Parameters
    ----------
    estimator : estimator
        The unfitted estimator, whose tags and methods this has.
    models : TrainedModels
        They know what raw scores mean.
    raw : ndarray of shape (1, r, k)
        Raw scores of this model.
    """

    def __init__(self, estimator: Any, models: Any, raw: NDArray[Any]):
        self._estimator, self._models, self._raw = estimator, models, raw
        if models.classes is not None:
            self.classes_ = models.classes

    def __sklearn_tags__(self) -> Any:
        return get_tags(self._estimator)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> NDArray[Any]:
        """Return labels or values; X is not looked at."""
        return self._models.predict(self._raw)[0]

    @_like_the_estimator("predict_proba")
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return probabilities of the classes."""
        return self._models.predict_proba(self._raw)[0]

    @_like_the_estimator("decision_function")
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the raw scores, (r,) for two classes."""
        raw = self._raw[0]
        return raw[:, 0] if raw.shape[1] == 1 else raw
