"""Pre-flight checks of a training, a learning-rate finder, verdicts with cures."""

from mlfund.diagnostics._findings import CHECKS, Check, Finding
from mlfund.diagnostics.diagnosing import diagnose
from mlfund.diagnostics.diagnosis import Diagnosis
from mlfund.diagnostics.learning_rate import LearningRateTest, find_learning_rate

__all__ = [
    "CHECKS",
    "Check",
    "Diagnosis",
    "Finding",
    "LearningRateTest",
    "diagnose",
    "find_learning_rate",
]
