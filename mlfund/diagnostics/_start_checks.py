"""Checks of a network before its first step."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mlfund._check import preserved_torch_state
from mlfund._engine.batches import Batches
from mlfund._engine.data import Batch, DeviceRows
from mlfund._engine.net import Engine
from mlfund._engine.watching import Layer, LayerWatch
from mlfund.diagnostics._findings import Finding, Status, graded, skipped
from mlfund.diagnostics._material import Start
from mlfund.diagnostics._probe import raw_scores
from mlfund.diagnostics._trials import best_constant, mean_loss

# Raw scores of standard deviation 2.6 double the log-loss of no knowledge, log K; of 16,
# where nearly every row is answered with certainty, they take it to ten times.
SURE_LOSS, CERTAIN_LOSS = 2.0, 10.0
# Signals should keep their size (Glorot and Bengio 2010, He et al. 2015). Two orders of
# magnitude over the whole depth is worth a look; beyond three a step of the size that suits
# one end of the network is no step, or a catastrophe, at the other.
SOME_GAIN, LARGE_GAIN = 1e2, 1e3
# Gradient beside weight, first to last layer; float32 resolves a relative step of 1e-7.
SOME_GRADIENT, LARGE_GRADIENT = 1e3, 1e5
# Karpathy (CS231n) speaks of "as much as 40 %" dead units where something is wrong; deep
# networks on few columns are born with half of that (Lu et al. 2019, arXiv 1903.06733).
SOME_DEAD, MANY_DEAD = 0.2, 0.4
# Saturated from here on (Glorot and Bengio 2010): the derivative of tanh is below 0.02.
SATURATED = 0.99
SOME_SATURATED, MANY_SATURATED = 0.3, 0.8
INIT_CURE = (
    "Use an initializer made for the activation: initializer='he_normal' for relu and its kin, "
    "'xavier_normal' for tanh and logistic, or None for scikit-learn's."
)
_ROWS = 256


def first_batch(rows: DeviceRows, size: int = _ROWS) -> Batch:
    """Return the first rows as one batch."""
    return next(iter(Batches(rows, min(size, len(rows)))))


def watched(net: Engine, rows: DeviceRows) -> list[Layer]:
    """Return what the layers put out for some rows, in evaluation mode."""
    net.module_.eval()
    batch = first_batch(rows, 1024)
    with torch.no_grad(), LayerWatch(net.module_) as watch:
        net.module_(batch[0])
    return watch.layers


def check_initial_loss(start: Start) -> Finding:
    """Compare the loss of the untrained network with that of no knowledge."""
    net, rows = start.net, start.train
    raw = raw_scores(net, rows)
    loss = mean_loss(net, raw, rows)
    constant = best_constant(net, raw, rows)
    prior = mean_loss(net, constant.expand_as(raw), rows)
    # Equal chances for all classes: log K. A real target has no such zero, and a loss of
    # constants can be 0 for constant targets.
    blank = mean_loss(net, torch.zeros_like(raw), rows) if _has_classes(net) else prior
    floor = max(prior, blank, torch.finfo(raw.dtype).eps)
    ratio = loss / floor
    status = graded(ratio, warn=SURE_LOSS, fail=CERTAIN_LOSS)
    evidence = {"loss": loss, "loss of the best constant": prior, "loss of no knowledge": blank}
    knows_nothing = "of equal chances" if _has_classes(net) else "of the best constant"
    text = f"The first loss is {loss:.3g}; {floor:.3g} is that {knows_nothing}"
    if blank > prior:
        text += f", {prior:.3g} that of the class shares"
    if status == "pass":
        return Finding("initial_loss", "pass", ratio, "x", text + ".", evidence=evidence)
    return Finding(
        "initial_loss",
        status,
        ratio,
        "x",
        text + ": the network is sure of things that it has not seen.",
        INIT_CURE + (" Standardise y." if not _has_classes(net) else ""),
        "wrong initialisation" if status == "fail" else "",
        evidence,
    )


def _has_classes(net: Engine) -> bool:
    return net.criterion_.loss.target in ("binary", "multiclass", "multilabel")


def check_initial_activations(start: Start) -> Finding:
    """Look for growth or decay of the signal over depth, and for saturated units."""
    layers = watched(start.net, start.train)
    hidden = [layer for layer in layers if layer.activation is not None]
    if not hidden:
        return skipped("initial_activations", "No hidden layer was seen.")
    sizes = {layer.name: _size(layer.output) for layer in layers}
    sizes_seen = [size for size in sizes.values() if math.isfinite(size)]
    X = first_batch(start.train, 1024)[0]
    # Integers are looked up in embeddings: the signal begins behind them.
    inputs = _size(X) if X.is_floating_point() else sizes_seen[0]
    gain = _largest_gain([inputs, *sizes_seen])
    saturated = {layer.name: _saturated(layer) for layer in hidden}
    flat_share = max(saturated.values())
    evidence = {"RMS by layer": {"X": inputs, **sizes}, "saturated share by layer": saturated}
    status = graded(max(gain, 1 / gain), warn=SOME_GAIN, fail=LARGE_GAIN)
    flat_status = graded(flat_share, warn=SOME_SATURATED, fail=MANY_SATURATED)
    if _worse(flat_status, status):
        name = max(saturated, key=lambda key: saturated[key])
        text = f"{100 * flat_share:.0f} % of the activations of layer {name} are saturated."
        status, number, unit = flat_status, 100 * flat_share, "% saturated"
    else:
        verb = "grows" if gain > 1 else "shrinks"
        text = f"From X to the deepest point the signal {verb} by a factor of {gain:.2g}."
        number, unit = gain, "x over depth"
    if status == "pass":
        return Finding("initial_activations", "pass", number, unit, text, evidence=evidence)
    fault = "wrong initialisation" if status == "fail" else ""
    cure = INIT_CURE + " In deep networks normalization='batch' or 'layer' helps as well."
    return Finding("initial_activations", status, number, unit, text, cure, fault, evidence)


def _size(values: Tensor) -> float:
    return float(values.detach().to(torch.float64).square().mean().sqrt())


def _largest_gain(sizes: list[float]) -> float:
    """Return the ratio to the first size that is furthest from 1."""
    first = max(sizes[0], 1e-300)
    ratios = [max(size, 1e-300) / first for size in sizes[1:]]
    return max(ratios, key=lambda ratio: abs(math.log(ratio)), default=1.0)


def _worse(first: Status, second: Status) -> bool:
    order = ("pass", "warn", "fail")
    return order.index(first) > order.index(second)


def _saturated(layer: Layer) -> float:
    if layer.activated is None or layer.activation not in ("tanh", "sigmoid"):
        return 0.0
    values = layer.activated.detach()
    if layer.activation == "sigmoid":
        values = 2 * values - 1
    return float((values.abs() > SATURATED).to(torch.float64).mean())


def dead_shares(net: Engine, rows: DeviceRows) -> dict[str, float]:
    """Return the share of units of each rectified layer that answer to no row."""
    shares = {}
    for layer in watched(net, rows):
        if layer.activation in ("relu", "relu6") and layer.activated is not None:
            silent = (layer.by_unit(layer.activated) == 0).all(dim=0)
            shares[layer.name] = float(silent.to(torch.float64).mean())
    return shares


def check_dead_units_at_start(start: Start) -> Finding:
    """Units of the untrained network that answer to no row."""
    shares = dead_shares(start.net, start.train)
    degenerate = _degenerate_layers(start.net)
    if not shares:
        return skipped("dead_units_at_start", "No layer has a rectifier, so none can die.")
    if degenerate:
        return skipped("dead_units_at_start", "Weights are all equal: see initial_gradients.")
    return judge_dead(
        "dead_units_at_start",
        shares,
        "Before the first step",
        "Start with biases of 0 and weights about 0 (initializer='he_normal'); centre X.",
    )


def judge_dead(check: str, shares: dict[str, float], when: str, cure: str) -> Finding:
    """Grade shares of dead units by layer."""
    name = max(shares, key=lambda key: shares[key])
    worst = shares[name]
    status = graded(worst, warn=SOME_DEAD, fail=MANY_DEAD)
    text = f"{when} {100 * worst:.0f} % of the units of layer {name} are 0 for every row."
    evidence = {"dead share by layer": shares}
    if status == "pass":
        return Finding(check, "pass", 100 * worst, "% dead", text, evidence=evidence)
    fault = "dead ReLUs" if status == "fail" else ""
    return Finding(check, status, 100 * worst, "% dead", text, cure, fault, evidence)


def _degenerate_layers(net: Engine) -> list[str]:
    """Return the names of weight matrices, but the last, whose entries are all equal."""
    matrices = [(name, p) for name, p in net.module_.named_parameters() if p.dim() > 1]
    return [name for name, p in matrices[:-1] if bool((p == p.reshape(-1)[0]).all())]


def check_initial_gradients(start: Start) -> Finding:
    """Gradient beside weight, layer by layer; layers whose units are all alike."""
    net = start.net
    degenerate = _degenerate_layers(net)
    if degenerate:
        return Finding(
            "initial_gradients",
            "fail",
            len(degenerate),
            "layers",
            f"All weights of {degenerate[0].removesuffix('.weight')} are equal: its units get the "
            "same gradient and stay alike.",
            INIT_CURE,
            "wrong initialisation",
            {"layers": degenerate},
        )
    ratios = relative_gradients(net, start.train)
    moving = {name: ratio for name, ratio in ratios.items() if ratio > 0}
    if len(moving) < 2:
        return skipped("initial_gradients", "Fewer than two layers have a gradient.")
    names = list(moving)
    first, last = moving[names[0]], moving[names[-1]]
    spread = max(moving.values()) / min(moving.values())
    status = graded(spread, warn=SOME_GRADIENT, fail=LARGE_GRADIENT)
    evidence = {"gradient / weight by layer": ratios}
    text = f"Gradients beside their weights differ by a factor of {spread:.2g} between layers."
    if status == "pass":
        return Finding("initial_gradients", "pass", spread, "x between", text, evidence=evidence)
    kind = "vanishing" if first < last else "exploding"
    fault = f"wrong initialisation ({kind} gradients)" if status == "fail" else ""
    cure = INIT_CURE + " With 'logistic' in many layers change to 'relu', or normalise the layers."
    return Finding("initial_gradients", status, spread, "x between", text, cure, fault, evidence)


def relative_gradients(net: Engine, rows: DeviceRows) -> dict[str, float]:
    """Return the norm of the gradient beside that of the weights, for each weight matrix."""
    batch = first_batch(rows)
    net.module_.eval()
    matrices = [
        (name, p) for name, p in net.module_.named_parameters() if p.dim() > 1 and p.requires_grad
    ]
    loss = net.criterion_(net.module_(batch[0]), batch)
    # Outside `backward`, so that the parameters' own gradients stay as they are.
    gradients = torch.autograd.grad(loss, [p for _, p in matrices], allow_unused=True)
    return {
        name.removesuffix(".weight"): 0.0
        if gradient is None
        else float(gradient.norm() / p.detach().norm().clamp_min(1e-30))
        for (name, p), gradient in zip(matrices, gradients, strict=True)
    }


def check_batch_independence(start: Start) -> Finding:
    """Whether the output of a row changes with the other rows of its batch."""
    net = start.net
    size = min(16, len(start.train) // 2)
    if size < 2:
        return skipped("batch_independence", "There are too few rows.")
    X = start.train.features(slice(0, 2 * size))
    here, there = X[:size], torch.cat([X[:1], X[size + 1 : 2 * size]])
    evaluating = _moved(net, here, there, training=False)
    has_batch_norm = any(isinstance(m, _BatchNorm) for m in net.module_.modules())
    known = has_batch_norm or getattr(net.module_, "takes_weight", False)
    training = 0.0 if known else _moved(net, here, there, training=True)
    number = max(evaluating, training)
    if number <= 1e-3:
        text = "The output of a row stays when the other rows of its batch change."
        if known:
            text = "In evaluation mode the " + text[4:]
        return Finding("batch_independence", "pass", number, "relative change", text)
    mode = "evaluation" if evaluating > 1e-3 else "training"
    return Finding(
        "batch_independence",
        "fail",
        number,
        "relative change",
        f"In {mode} mode the output of a row changes with the other rows of its batch.",
        "Look in the module's forward for operations over dimension 0: softmax(dim=0), mean(0), "
        "view or reshape where transpose was meant, statistics of the batch.",
        "leak between the samples of a batch",
    )


def _moved(net: Engine, here: Tensor, there: Tensor, *, training: bool) -> float:
    """Return how far the first row's output moves, beside the spread of the outputs."""
    was = net.module_.training
    with preserved_torch_state(), torch.no_grad():
        net.module_.train(training)
        outputs = []
        for batch in (here, there):
            # The same dropout masks for both.
            torch.manual_seed(0)
            _seed_generators(net.module_)
            outputs.append(net.module_(batch).to(torch.float64))
        net.module_.train(was)
    scale = max(float(outputs[0].std()), 1e-6)
    return float((outputs[0][0] - outputs[1][0]).abs().max()) / scale


def _seed_generators(module: torch.nn.Module) -> None:
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, torch.Generator):
                value.manual_seed(0)


def check_deterministic_evaluation(start: Start) -> Finding:
    """Whether two passes in evaluation mode agree, bit for bit, and leave buffers alone."""
    net = start.net
    before = [buffer.clone() for buffer in net.module_.buffers()]
    first, second = (raw_scores(net, start.valid) for _ in range(2))
    moved = [
        not torch.equal(now, then) for now, then in zip(net.module_.buffers(), before, strict=True)
    ]
    gap = float((first - second).abs().max())
    if gap == 0 and not any(moved):
        text = "Two passes agree to the last bit."
        return Finding("deterministic_evaluation", "pass", gap, "largest gap", text)
    what = "gives another output each time" if gap else "changes its buffers"
    return Finding(
        "deterministic_evaluation",
        "fail",
        gap,
        "largest gap",
        f"In evaluation mode the module {what}.",
        "Pass training=self.training to functional dropout, and update statistics only while "
        "self.training is true.",
        "evaluation mode that is not",
    )
