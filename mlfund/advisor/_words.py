"""Numbers and names as people read them, shared by the terminal and the report."""

from __future__ import annotations

import math
from dataclasses import dataclass

FAMILIES = {
    "baseline": "baseline",
    "linear": "linear model",
    "tree_ensemble": "tree ensemble",
    "gradient_boosting": "gradient boosting",
    "neural_network": "neural network",
    "pretrained": "pretrained network",
    "ensemble": "ensemble",
}

# Names of candidates whose words are not just the name with blanks.
_MODELS = {
    "xgboost": "XGBoost",
    "cnn": "CNN",
    "mlp": "MLP",
    "prior": "prior only",
}

VERDICTS = {
    "better": "best",
    "practically_equal": "practically equal",
    "worse": "worse",
    "undecided": "undecided",
}


@dataclass(frozen=True)
class MetricWords:
    """How a metric is called and read."""

    label: str
    greater_is_better: bool = True


def metric_words(name: str) -> MetricWords:
    """Return label and direction of a metric; an unknown one keeps its name."""
    # here, since scores needs scikit-learn
    from mlfund.advisor.scores import METRICS

    metric = METRICS.get(name)
    if metric is None:
        return MetricWords(name.replace("_", " "))
    return MetricWords(metric.label, metric.greater_is_better)


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with `digits` decimals, or significant digits where it is large or tiny.

    Examples
    --------
    >>> number(0.92764), number(48213.7), number(0.0000123), number(None)
    ('0.928', '48,214', '1.23e-05', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    size = abs(value)
    if value == 0 or 10.0 ** (1 - digits) <= size < 100:
        return f"{value:.{digits}f}"
    if 100 <= size < 1e7:
        return f"{value:,.{1 if size < 1000 else 0}f}"
    return f"{value:.{digits}g}"


def score_digits(values: list[float]) -> int:
    """Return decimals that tell the scores apart: 3, or 4 where they lie within 0.02."""
    finite = [value for value in values if math.isfinite(value)]
    return 4 if len(finite) > 1 and max(finite) - min(finite) < 0.02 else 3


def signed(value: float | None, digits: int = 4) -> str:
    """Write a difference with its sign.

    Examples
    --------
    >>> signed(-0.0123), signed(0.0), signed(0.5, 2)
    ('-0.0123', '0.0000', '+0.50')
    """
    text = number(value, digits)
    if value is not None and math.isfinite(value) and value > 0:
        return f"+{text}"
    return "0." + "0" * digits if text == "-0." + "0" * digits else text


def interval(bounds: list[float | None] | None, digits: int = 4) -> str:
    """Write an interval of differences, or a dash where there is none."""
    if not bounds or bounds[0] is None or bounds[1] is None:
        return "-"
    return f"{signed(bounds[0], digits)} to {signed(bounds[1], digits)}"


def duration(seconds: float | None) -> str:
    """Write a time span with the unit a person would choose.

    Examples
    --------
    >>> [duration(value) for value in (0.0123, 2.345, 75, 4020)]
    ['12 ms', '2.3 s', '1 min 15 s', '1 h 7 min']
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 0.9995:
        return milliseconds(seconds * 1000)
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def milliseconds(value: float | None) -> str:
    """Write a latency in milliseconds with two significant digits.

    Examples
    --------
    >>> [milliseconds(value) for value in (0.123, 4.56, 78.9)]
    ['0.12 ms', '4.6 ms', '79 ms']
    """
    if value is None or not math.isfinite(value):
        return "-"
    decimals = 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:,.{decimals}f} ms"


def size(n_bytes: float | None) -> str:
    """Write a number of bytes with a decimal unit.

    Examples
    --------
    >>> [size(value) for value in (812, 34_567, 12_345_678)]
    ['812 B', '35 kB', '12 MB']
    """
    if n_bytes is None or not math.isfinite(n_bytes):
        return "-"
    value, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    decimals = 1 if value < 10 and units[0] != "B" else 0
    return f"{value:.{decimals}f} {units[0]}"


def percent(probability: float) -> str:
    """Write a probability; never 0 % or 100 %, which no sample can show.

    Examples
    --------
    >>> [percent(value) for value in (0.97, 0.9984, 0.9999, 0.0001)]
    ['97 %', '99.8 %', 'over 99.9 %', 'under 0.1 %']
    """
    if probability > 0.999:
        return "over 99.9 %"
    if probability < 0.001:
        return "under 0.1 %"
    return f"{100 * probability:.3g} %"


def model_label(name: str) -> str:
    """Return the name of a candidate as people write it.

    Examples
    --------
    >>> model_label("random_forest"), model_label("xgboost")
    ('random forest', 'XGBoost')
    """
    return _MODELS.get(name, name.replace("_", " "))


def family_label(family: str) -> str:
    """Return the name of a model family in words."""
    return FAMILIES.get(family, family.replace("_", " "))


def how_sure(confidence: float | None) -> str:
    """Grade the confidence of a recommendation in a sentence."""
    if confidence is None:
        return "Only one model was compared, so there is no probability to give."
    if confidence >= 0.95:
        return "This is a clear result."
    if confidence >= 0.8:
        return "This is a likely, but not a certain result."
    return "This is an open race: another model may well be better."
