"""Which part of a backbone is trained, and how "auto" decides it."""

from __future__ import annotations

from typing import Any, NamedTuple

FROZEN = "feature_extraction"
TOP = "fine_tune_top"
FULL = "full"
PROBE_FIRST = "linear_probe_then_fine_tune"
GRADUAL = "gradual"
LORA = "lora"
AUTO = "auto"

IMAGE_STRATEGIES = (AUTO, FROZEN, TOP, FULL, PROBE_FIRST, GRADUAL)
TEXT_STRATEGIES = (*IMAGE_STRATEGIES, LORA)

# Rows from which millions of weights are moved rather than a linear model alone.
TUNED_ROWS = 500
# Share of the uncertainty that a linear head takes away from which embeddings are left alone.
NEAR = 0.97


class Choice(NamedTuple):
    """A strategy and a sentence that says why.

    Attributes
    ----------
    strategy, why : str
    """

    strategy: str
    why: str


def choose(*, n_rows: int, accelerated: bool, trainable: bool, gain: float | None) -> Choice:
    """Return what "auto" stands for.

    Parameters
    ----------
    n_rows : int
        Rows to train on.
    accelerated : bool
        Whether the training runs on an accelerator.
    trainable : bool
        Whether there is a backbone that can be trained below the head that is wanted.
    gain : float or None
        Of a linear head on held-out rows, see `held_out_gain`; None where it is not known.
    """
    if not trainable:
        return Choice(FROZEN, "The head is fitted on embeddings, and nothing below it is trained.")
    if n_rows < TUNED_ROWS:
        why = (
            f"{n_rows} rows are few (less than {TUNED_ROWS}): the backbone stays as it is and a "
            "head is fitted on its embeddings."
        )
        return Choice(FROZEN, why)
    known = "" if gain is None else f"{_gain(gain)}; "
    if gain is not None and gain >= NEAR:
        why = f"{known}the images or texts are near those of the pretraining, and fine-tuning "
        return Choice(FROZEN, why[0].upper() + why[1:] + "could gain little.")
    if not accelerated:
        why = (
            f"{known}fine-tuning passes through the backbone again in each epoch, which is slow on "
            f"a CPU: set strategy={PROBE_FIRST!r} if the time does not matter, or device."
        )
        return Choice(FROZEN, why[0].upper() + why[1:])
    why = (
        f"{known}{n_rows} rows on an accelerator are enough to fine-tune, beginning with the "
        "linear head."
    )
    return Choice(PROBE_FIRST, why[0].upper() + why[1:])


def _gain(gain: float) -> str:
    return (
        f"a linear head on the embeddings takes away {max(gain, 0.0):.0%} of the uncertainty on "
        "rows held out"
    )


def check_trainable(strategy: str, head: Any, *, precomputed: bool, linear: bool) -> None:
    """Raise if a strategy that trains the backbone has none to train, or another head.

    Parameters
    ----------
    strategy : str
        One of this module.
    head : str or estimator
        As the user gave it.
    precomputed : bool
        Whether rows are embeddings, without a backbone.
    linear : bool
        Whether the head is the linear one.

    Raises
    ------
    ValueError
        See above; what to do is said.
    """
    if strategy in (AUTO, FROZEN):
        return
    if precomputed:
        raise ValueError(
            f"strategy={strategy!r} trains a backbone, and backbone='precomputed' says that X "
            "holds embeddings; give the backbone and its inputs, or leave strategy out."
        )
    if not linear:
        raise ValueError(
            f"strategy={strategy!r} trains a linear head together with the backbone, and "
            f"head={head!r} is another; leave head out, or set strategy='feature_extraction'."
        )
