"""Training of an encoder and its head: validation rows, memory, adapters, checkpoints."""

import numpy as np
import pytest

from mlfund import TextTransferClassifier
from mlfund.estimators._transfer_tuning import TuningClassifier, TuningPlan
from tests.backbones.tiny import Letters

TEXTS = ["abc", "abd", "xyz", "xyw"] * 5
Y = np.array(["a", "a", "x", "x"] * 5)


def text_classifier(**options):
    defaults = {"strategy": "full", "cache": False, "random_state": 0, "max_iter": 3}
    return TextTransferClassifier(Letters(), **defaults | options)


def tuning(**options):
    model = text_classifier(**options)
    return TuningClassifier(TuningPlan(Letters(), head_lr=0.1), model._settings())


@pytest.mark.parametrize("texts", [["ab", "xy"], ["abcabc", "xyzxyz"]])
def test_validation_rows_have_a_width_of_their_own(texts):
    encoder = Letters().load()
    model = tuning(early_stopping=True)
    model.fit(encoder.tokenise(TEXTS), Y, X_val=encoder.tokenise(texts), y_val=np.array(["a", "x"]))
    assert len(model.validation_scores_) == model.n_iter_
    assert model.validation_scores_[-1] == 1.0
