"""Checks of what a training did to a network."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from mlfund.diagnostics._dependence import Reference, commonest, correct_rows
from mlfund.diagnostics._findings import Finding, Status, graded, skipped
from mlfund.diagnostics._material import Start, subset
from mlfund.diagnostics._outcome import Constant, Outcome, errors_apart
from mlfund.diagnostics._probe import raw_scores, weights_of
from mlfund.diagnostics._start_checks import dead_shares, judge_dead
from mlfund.diagnostics._trials import StopBelow, best_constant, constant_rate, mean_loss, run_twin
from mlfund.diagnostics.learning_rate import LearningRateTest

# A batch that is learned by heart.
_BY_HEART_ROWS, _BY_HEART_STEPS = 32, 400
BY_HEART, HARDLY = 0.1, 0.5
# A layer that moves this much less than the one that moves most.
_HARDLY_MOVED = 1e-4
# "Somewhere around 1e-3" is right (CS231n). Above 1 a step overwrites the weights, and
# float32 drops what is below 1e-7 of them.
SMALL_STEP, TINY_STEP, LARGE_STEP, HUGE_STEP = 1e-5, 1e-7, 0.1, 1.0
_FIRST_STEPS = 10
# Share of the gain over a constant that later epochs lose again.
SOME_LOST, MUCH_LOST = 0.1, 0.5
# Training loss beside that of a constant from which rows were learned by heart.
HALF_LEARNED = 0.5
_ENOUGH_ROWS = 50
CLEAR = 2.0


def check_overfits_one_batch(start: Start, test: LearningRateTest) -> Finding:
    """Train on a few rows alone, without dropout and penalties, at the suggested rate."""
    net = start.net
    rows = subset(start.train, _distinct_rows(start))
    lr = test.suggestion if math.isfinite(test.suggestion) else net.lr
    before = raw_scores(net, rows)
    constant = mean_loss(net, best_constant(net, before, rows).expand_as(before), rows)
    floor = max(constant, float(np.finfo(np.float32).eps))
    twin = run_twin(
        net,
        rows,
        rules=[constant_rate(lr)],
        epochs=_BY_HEART_STEPS,
        batch_size=len(rows),
        in_evaluation=True,
        callbacks=[StopBelow(BY_HEART * floor)],
    )
    losses = [row["train_loss"] for row in twin.history if math.isfinite(row["train_loss"])]
    number = min(losses, default=math.inf) / floor
    status = graded(number, warn=BY_HEART, fail=HARDLY)
    text = (
        f"{len(rows)} rows on their own: the loss goes to {100 * number:.2g} % of a constant's in "
        f"{len(twin.history)} steps."
    )
    evidence = {"loss": min(losses, default=math.nan), "loss of the best constant": constant}
    if status == "pass":
        return Finding("overfits_one_batch", "pass", number, "x constant", text, evidence=evidence)
    return Finding(
        "overfits_one_batch",
        status,
        number,
        "x constant",
        text,
        "A network that cannot learn a few rows by heart has too few units, a broken module or "
        "loss, or weights that do not move: mend what is said above first.",
        "cannot fit one batch" if status == "fail" else "",
        evidence,
    )


def _distinct_rows(start: Start) -> np.ndarray:
    """Return the places of a few rows with different features, taken evenly over the targets."""
    rows = start.train
    y = rows.y.cpu().numpy()
    y = y.reshape(len(y), -1)[:, 0]
    by_target = np.argsort(y, kind="stable")
    evenly = np.linspace(0, len(y) - 1, min(8 * _BY_HEART_ROWS, len(y))).astype(int)
    seen, chosen = set(), []
    for place in np.random.RandomState(0).permutation(by_target[evenly]):
        key = rows.features(slice(int(place), int(place) + 1)).cpu().numpy().tobytes()
        if key not in seen:
            seen.add(key)
            chosen.append(int(place))
    return np.sort(chosen[:_BY_HEART_ROWS])


def check_frozen_layers(own: Outcome) -> Finding:
    """How far each weight matrix moved over the whole training."""
    record = own.trained.probe.record
    moved = {
        name.removesuffix(".weight"): _distance(record.start[name], record.end[name])
        for name in record.end
        if record.end[name].dim() > 1
    }
    if not moved or not any(moved.values()):
        return skipped("frozen_layers", "The training ended with the weights it began with.")
    furthest = max(moved.values())
    frozen = [name for name, distance in moved.items() if distance == 0]
    slow = [name for name, distance in moved.items() if 0 < distance < _HARDLY_MOVED * furthest]
    evidence = {"relative change by layer": moved}
    nearest = min(moved.values())
    if not frozen and not slow:
        text = "Every layer moved."
        return Finding("frozen_layers", "pass", nearest, "least change", text, evidence=evidence)
    what = f"{', '.join(frozen)} did not move at all" if frozen else f"{slow[0]} hardly moved"
    return Finding(
        "frozen_layers",
        "fail" if frozen else "warn",
        nearest,
        "least change",
        f"Layer {what} in the whole training.",
        "Set requires_grad=True on its parameters, take it out of a Freezer callback, and see "
        "that forward uses it. If it is frozen on purpose, all is well.",
        "frozen layer" if frozen else "",
        evidence,
    )


def _distance(start: Tensor, end: Tensor) -> float:
    return float((end - start).norm()) / max(float(start.norm()), 1e-12)


def check_finite_training(own: Outcome, test: LearningRateTest) -> Finding:
    """Whether the training ended by itself."""
    if own.finite:
        curve = own.trained.probe.record.train_losses
        return Finding("finite_training", "pass", len(curve), "epochs", "Loss and weights finite.")
    rate = own.trained.estimator.learning_rate_init
    too_high = math.isfinite(test.largest) and rate > test.suggestion
    cure = (
        f"Set learning_rate_init={float(f'{test.suggestion:.2g}'):g}, from the range test."
        if too_high
        else "See the message; clip_norm=1.0 bounds single steps."
    )
    return Finding(
        "finite_training",
        "fail",
        len(own.trained.probe.record.train_losses),
        "epochs",
        own.diverged,
        cure,
        "learning rate too high" if too_high else "divergence",
    )


def check_update_size(own: Outcome) -> Finding:
    """Compare single steps with the weights, at the beginning of the training."""
    updates = own.trained.probe.record.updates
    sizes = {
        name.removesuffix(".weight"): float(np.median(steps[:_FIRST_STEPS]))
        for name, steps in updates.items()
        if steps and own.trained.probe.record.start[name].dim() > 1
    }
    if not sizes:
        return skipped("update_size", "No single steps were seen.")
    evidence = {"step / weight by layer": sizes}
    largest, smallest = max(sizes.values()), min(sizes.values())
    status = graded(largest, warn=LARGE_STEP, fail=HUGE_STEP)
    number, name = largest, max(sizes, key=lambda key: sizes[key])
    text = f"Layer {name} changes by {number:.2g} of its size in a step."
    if status == "pass" and smallest < SMALL_STEP:
        status = "fail" if smallest < TINY_STEP else "warn"
        number, name = smallest, min(sizes, key=lambda key: sizes[key])
        text = f"Layer {name} changes by {number:.2g} of its size in a step."
    if status == "pass":
        return Finding("update_size", "pass", number, "of weights", text, evidence=evidence)
    which = "high" if number > 1e-3 else "low"
    return Finding(
        "update_size",
        status,
        number,
        "of weights",
        text + " About 0.001 is usual.",
        f"{'Lower' if which == 'high' else 'Raise'} learning_rate_init; see find_learning_rate.",
        f"learning rate too {which}" if status == "fail" else "",
        evidence,
    )


def check_dead_units(own: Outcome, start: Start) -> Finding:
    """Units that answer to no training row after the training."""
    if own.net is None:
        return skipped("dead_units", "There was no training.")
    shares = dead_shares(own.net, start.train)
    if not shares:
        return skipped("dead_units", "No layer has a rectifier, so none can die.")
    cure = (
        "Lower learning_rate_init, or use activation='leaky_relu', 'elu' or 'gelu', which have "
        "a gradient everywhere."
    )
    return judge_dead("dead_units", shares, "After the training", cure)


def check_beats_baseline(own: Outcome, constant: Constant) -> Finding:
    """Held-out loss and predictions beside those of the best constant."""
    weight = weights_of(own.material.start.valid)
    loss = float(np.average(own.last_rows, weights=weight))
    apart = errors_apart(constant.valid_rows, own.last_rows, weight)
    skill = 1 - loss / constant.valid if constant.valid > 0 else -math.inf
    evidence = {
        "held-out loss": loss,
        "of the best constant": constant.valid,
        "standard errors": apart,
        "skill of the predictions": own.skill,
    }
    text = f"Held-out loss {loss:.3g}, that of the best constant {constant.valid:.3g}."
    cure = "Mend what is said above; if nothing is, X may hold too little about y."
    status: Status
    if apart >= CLEAR:
        status = "pass"
    elif own.skill > 0 and _predictions_beat(own) >= CLEAR:
        status = "warn"
        text += f" The predictions are right more often (skill {own.skill:.2g}), but too sure."
        cure = "See overfitting: stop earlier or regularise."
    else:
        status = "fail" if skill <= 0 and len(weight) >= _ENOUGH_ROWS else "warn"
    fault = "no better than a constant" if status == "fail" else ""
    return Finding(
        "beats_baseline",
        status,
        skill,
        "skill",
        text,
        "" if status == "pass" else cure,
        fault,
        evidence,
    )


def _predictions_beat(own: Outcome) -> float:
    """Return by how many standard errors the predictions beat the commonest answer."""
    material = own.material
    errors = row_errors(own.predicted, material.y_valid, classification=material.classification)
    answer = _constant_answer(material.y, classification=material.classification)
    answers = np.broadcast_to(answer, np.asarray(material.y_valid).shape)
    worse = row_errors(answers, material.y_valid, classification=material.classification)
    return errors_apart(worse, errors, np.ones(len(errors)))


def _constant_answer(y: np.ndarray, *, classification: bool) -> object:
    return commonest(y) if classification else y.mean(axis=0)


def row_errors(predicted: np.ndarray, y: np.ndarray, *, classification: bool) -> np.ndarray:
    """Return the share of wrong labels, or the squared residual, of each row."""
    if classification:
        return 1 - correct_rows(predicted, y)
    residual = np.square(np.asarray(predicted).reshape(np.shape(y)) - y)
    return residual.reshape(len(residual), -1).mean(axis=1)


def check_underfitting(own: Outcome, reference: Reference) -> Finding:
    """Compare the predictions of held-out rows with those of plain trees."""
    material = own.material
    classification = material.classification
    mine = row_errors(own.predicted, material.y_valid, classification=classification)
    theirs = row_errors(reference.predicted, material.y_valid, classification=classification)
    apart = errors_apart(mine, theirs, np.ones(len(mine)))
    gap = reference.skill - own.skill
    evidence = {"skill": own.skill, "skill of trees": reference.skill, "standard errors": apart}
    text = f"Skill on held-out rows {own.skill:.3g}, that of plain trees {reference.skill:.3g}."
    if apart < CLEAR + 1 or gap < 0.05:
        return Finding("underfitting", "pass", gap, "skill behind", text, evidence=evidence)
    return Finding(
        "underfitting",
        "warn",
        gap,
        "skill behind",
        text,
        "High bias has the textbook remedies: a larger network, more epochs, a better learning "
        "rate, less regularisation, better features. Those tried are reported above. Trees may "
        "also simply suit these rows better: mlfund.advise compares.",
        evidence=evidence,
    )


def check_overfitting(own: Outcome, constant: Constant) -> Finding:
    """Measure what of the gain over a constant the epochs after the best one lost again."""
    if len(own.trained.probe.record.train_losses) < 2:
        return skipped("overfitting", "There is no learning curve.")
    weight = weights_of(own.material.start.valid)
    best, last = float(own.valid_curve[own.best]), own.kept_loss
    gain = constant.valid - best
    epoch = own.epochs[own.best]
    apart = errors_apart(own.last_rows, own.best_rows, weight)
    if getattr(own.trained.estimator, "early_stopping", False):
        return skipped("overfitting", "Early stopping kept the weights of its best epoch.")
    if own.unstable:
        return skipped("overfitting", "The training loss rose as well: see learning_rate.")
    if gain <= 0 and own.train_loss > HALF_LEARNED * constant.train:
        return skipped("overfitting", "No epoch was better than a constant: see beats_baseline.")
    # A network that learned its rows and never the rule has lost all.
    lost = (last - best) / gain if gain > 0 else math.inf
    status = graded(lost, warn=SOME_LOST, fail=MUCH_LOST) if apart >= CLEAR + 1 else "pass"
    evidence = {
        "best epoch": epoch,
        "best held-out loss": best,
        "last held-out loss": last,
        "last training loss": own.train_loss,
        "standard errors": apart,
    }
    text = (
        f"Held-out loss {best:.3g} in epoch {epoch} and {last:.3g} at the end (training "
        f"{own.train_loss:.3g})."
    )
    if status == "pass":
        return Finding("overfitting", "pass", 100 * lost, "% lost", text, evidence=evidence)
    return Finding(
        "overfitting",
        status,
        100 * lost,
        "% lost",
        f"{text} The epochs since lost {100 * lost:.0f} % of what was gained over a constant.",
        f"Stop earlier: early_stopping=True, or max_iter={max(epoch, 1)}. High variance has "
        "further textbook remedies: more rows, a larger alpha or weight_decay, dropout, a smaller "
        "network.",
        "too long training" if status == "fail" else "",
        evidence,
    )
