"""Remedies that are tried, not guessed: the training once more with one thing changed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlfund.diagnostics._findings import Finding, graded, skipped
from mlfund.diagnostics._outcome import Constant, Outcome, errors_apart
from mlfund.diagnostics._probe import weights_of
from mlfund.diagnostics.learning_rate import LearningRateTest

# What a remedy adds, as a share of all that can be gained over a constant. A slow training
# gets there in the end, so it must leave half of that to be at fault; what a network cannot
# hold, or a penalty forbids, no training will ever bring.
SOME_HELP = 0.1
MUCH_HELP = {"learning_rate": 0.5, "epochs": 0.5, "capacity": 0.2, "regularisation": 0.2}
# Standard errors of the paired difference on held-out rows.
CLEAR = 3.0
# A learning rate this far from the suggestion is tried against it.
FAR = 30.0
# Remedies are tried from the cheapest on; a dearer one must help by more than this.
_EVEN = 0.9
# A best epoch after this share of all is no sign that the training was long enough.
_LATE = 0.9
# Skill of the predictions that a remedy must add beside its share of the loss: sharper
# probabilities for the same answers are no fault.
SKILL = 0.05
# Training loss beside that of a constant from which there may be more to learn.
MUCH_LEFT = 0.2


@dataclass(frozen=True)
class Remedy:
    """One change to the parameters of a training.

    Attributes
    ----------
    check : str
        The check that the trial answers.
    changes : dict
        Parameters to set.
    fault : str
        What is wrong if the change helps.
    words : str
        The change in words.
    """

    check: str
    changes: dict[str, Any]
    fault: str
    words: str


def learning_rate_remedy(estimator: Any, test: LearningRateTest) -> Remedy | None:
    """Return the suggestion of the range test; None where it is what the estimator has."""
    own = estimator.learning_rate_init
    if not math.isfinite(test.suggestion) or 0.5 < test.suggestion / own < 2:
        return None
    which = "low" if test.suggestion > own else "high"
    rate = float(f"{test.suggestion:.2g}")
    return Remedy(
        "learning_rate",
        {"learning_rate_init": rate},
        f"learning rate too {which}",
        f"learning_rate_init={rate:g} instead of {own:g}",
    )


def is_far(estimator: Any, test: LearningRateTest) -> bool:
    """Whether the suggestion is so far from the rate in use that it is worth a trial."""
    return not 1 / FAR < test.suggestion / estimator.learning_rate_init < FAR


def capacity_remedy(estimator: Any) -> Remedy | None:
    """Hidden layers four times as wide, of at least 64 units; None for modules of the user."""
    given = getattr(estimator, "hidden_layer_sizes", None)
    if given is None:
        return None
    sizes = [int(size) for size in np.atleast_1d(np.asarray(given, dtype=int))]
    wider = tuple(max(64, 4 * size) for size in sizes) or (64,)
    return Remedy(
        "capacity",
        {"hidden_layer_sizes": wider},
        "network too small",
        f"hidden_layer_sizes={wider} instead of {tuple(sizes)}",
    )


def regularisation_remedy(estimator: Any) -> Remedy | None:
    """No penalty, decay, dropout or noise; None where there is hardly any."""
    parameters = estimator.get_params(deep=False)
    off = {"alpha": 0.0, "weight_decay": None, "dropout": None, "max_norm": None}
    off |= {"input_noise": None, "mixup": None, "label_smoothing": None}
    strong = {
        name: value
        for name, value in off.items()
        if parameters.get(name) is not None and np.max(parameters[name]) > 1e-3
    }
    if not strong:
        return None
    words = ", ".join(f"{name}={parameters[name]!r}" for name in strong)
    return Remedy("regularisation", strong, "too much regularisation", f"no {words}")


def epochs_remedy(estimator: Any, outcome: Outcome) -> Remedy | None:
    """Five times the epochs; None unless they ran out while held-out rows still gained.

    Under early stopping: watch the loss, which moves when the score does not yet.
    """
    n_epochs = len(outcome.trained.probe.record.train_losses)
    if estimator.early_stopping and n_epochs < estimator.max_iter:
        if estimator.scoring == "loss":
            return None
        words = "scoring='loss' for early stopping, in place of the score"
        return Remedy("epochs", {"scoring": "loss"}, "stopped too early", words)
    if n_epochs < estimator.max_iter or outcome.epochs[outcome.best] < _LATE * n_epochs:
        return None
    longer = 5 * estimator.max_iter
    return Remedy(
        "epochs",
        {"max_iter": longer},
        "too short training",
        f"max_iter={longer} instead of {estimator.max_iter}",
    )


@dataclass(frozen=True)
class Trial:
    """A remedy and what it came to.

    Attributes
    ----------
    remedy : Remedy
        What was changed.
    outcome : Outcome
        The training with the change.
    help : float
        Share of what can be gained over a constant that the change adds.
    errors : float
        The gain in its standard errors.
    answers_better : bool
        Whether the predictions gain, not only their probabilities (or the probabilities
        were worse than none).
    """

    remedy: Remedy
    outcome: Outcome
    help: float
    errors: float
    answers_better: bool = True


def try_remedy(remedy: Remedy, own: Outcome, constant: Constant) -> Trial:
    """Train once more with the remedy and compare the best epochs on held-out rows."""
    material = own.material
    outcome = Outcome(material, *_trained(material, remedy))
    if not outcome.finite or not outcome.epochs:
        return Trial(remedy, outcome, -math.inf, 0.0)
    weight = weights_of(material.start.valid)
    reached = float(np.average(outcome.best_rows, weights=weight))
    if not own.finite or not own.epochs:
        gained = constant.valid - reached
        apart = errors_apart(constant.valid_rows, outcome.best_rows, weight)
        return Trial(remedy, outcome, 1.0 if gained > 0 else 0.0, apart)
    # What came apart is judged by where it ended, the rest by what it could have been.
    rows = own.last_rows if own.unstable else own.best_rows
    ours = np.minimum(rows, np.finfo(float).max)
    mean = min(float(np.average(ours, weights=weight)), constant.valid)
    room = constant.valid - reached
    help_ = (mean - reached) / room if room > 0 else 0.0
    apart = errors_apart(ours, outcome.best_rows, weight)
    # Worse than a constant is a fault whatever the predictions are.
    worse = float(np.average(ours, weights=weight)) >= constant.valid
    return Trial(remedy, outcome, help_, apart, worse or outcome.skill >= own.skill + SKILL)


def _trained(material: Any, remedy: Remedy) -> tuple[Any, Any]:
    trained = material.train(**remedy.changes)
    return trained, trained.probe.net_


def best_of(trials: list[Trial]) -> Trial | None:
    """Return the trial that helps most; the earlier one of two that are nearly even."""
    most = max((trial.help for trial in trials), default=0.0)
    return next((trial for trial in trials if trial.help >= _EVEN * most), None)


def judge(trial: Trial, *, is_best: bool) -> Finding:
    """Grade what a remedy did; only the best one shows the fault."""
    remedy = trial.remedy
    number = 100 * max(trial.help, 0.0)
    clear = trial.errors >= CLEAR
    status = graded(trial.help, warn=SOME_HELP, fail=MUCH_HELP[remedy.check]) if clear else "pass"
    if status == "fail" and not (is_best and trial.answers_better):
        status = "warn"
    evidence = {"standard errors": trial.errors, "changes": remedy.changes}
    if status == "pass":
        text = f"Tried {remedy.words}: no better to speak of."
        return Finding(remedy.check, "pass", number, "% gained", text, evidence=evidence)
    text = (
        f"Tried {remedy.words}: of what can be gained over a constant on held-out rows, the "
        f"network as it is leaves {number:.0f} %."
    )
    changes = ", ".join(f"{name}={value!r}" for name, value in remedy.changes.items())
    return Finding(
        remedy.check,
        status,
        number,
        "% gained",
        text,
        f"Set {changes}.",
        remedy.fault if status == "fail" else "",
        evidence,
    )


def beyond_the_edge(finding: Finding, estimator: Any, test: LearningRateTest) -> Finding:
    """Warn of a rate that works although the range test found it too large to help."""
    own = estimator.learning_rate_init
    if finding.check != "learning_rate" or finding.status != "pass" or not own > test.largest:
        return finding
    text = f"In the range test no rate above {test.largest:.2g} helps, and {own:g} is one."
    cure = f"Try learning_rate_init={float(f'{test.suggestion:.2g}'):g}: it is the safer start."
    return replace(finding, status="warn", text=text, cure=cure)


def untried_rate(estimator: Any, test: LearningRateTest) -> Finding:
    """Return what there is to say of a learning rate that gives no reason to try another."""
    own = estimator.learning_rate_init
    if getattr(estimator, "solver", None) == "lbfgs":
        return skipped("learning_rate", "L-BFGS finds the length of its steps itself.")
    if not math.isfinite(test.suggestion):
        text = f"The range test found no rate to compare {own:g} with."
        return Finding("learning_rate", "warn", own, "rate", text, "See overfits_one_batch.")
    text = f"The range test suggests {test.suggestion:.2g}; {own:g} is near enough and learns."
    return Finding("learning_rate", "pass", own / test.suggestion, "x suggestion", text)
