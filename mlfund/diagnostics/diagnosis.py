"""The result of a diagnosis: verdict, table, pictures."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mlfund.diagnostics import _html, _plots
from mlfund.diagnostics._findings import CHECKS, STATUSES, Finding, skipped
from mlfund.diagnostics.learning_rate import LearningRateTest

_WIDTH = 100
_MARKS = {"fail": "FAIL", "warn": "warn", "pass": "ok", "skip": "-"}


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found; printing it shows the verdict and a table of all checks.

    Attributes
    ----------
    verdict : str
        The upshot in a sentence or two.
    faults : list of str
        Names of the faults, root causes only: "unscaled input", "learning rate too high", ...
    causes : list of Finding
        The failed checks that are root causes.
    consequences : list of Finding
        The failed checks that a cause explains: they should pass once it is mended.
    findings : tuple of Finding
        One for each check, in the order of cause and effect.
    learning_rate : LearningRateTest or None
        The range test.
    notes : list of str
        What was done to the rows on the way.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from mlfund import MLPClassifier, diagnose
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    >>> diagnosis = diagnose(model, X, y)
    >>> diagnosis.faults
    []
    >>> diagnosis["initial_loss"].status
    'pass'
    """

    findings: tuple[Finding, ...]
    learning_rate: LearningRateTest | None = None
    notes: list[str] = field(default_factory=list)
    _outcome: Any = None
    _constant: Any = None

    @classmethod
    def of(
        cls,
        findings: list[Finding],
        *,
        learning_rate: LearningRateTest | None = None,
        outcome: Any = None,
        constant: Any = None,
        notes: list[str] | None = None,
    ) -> Diagnosis:
        """Put findings into the order of the checks; a check without one was skipped."""
        by_check = {finding.check: finding for finding in findings}
        ordered = tuple(by_check.get(name) or skipped(name, "Not reached.") for name in CHECKS)
        return cls(ordered, learning_rate, notes or [], outcome, constant)

    def __getitem__(self, check: str) -> Finding:
        """Return the finding of a check by its name."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(f"{check!r} is no check; they are {', '.join(CHECKS)}.")

    def with_status(self, status: str) -> list[Finding]:
        """Return the findings that are "fail", "warn", "pass" or "skip"."""
        return [finding for finding in self.findings if finding.status == status]

    @property
    def causes(self) -> list[Finding]:
        """The failed checks that no other failure explains."""
        return [finding for finding in self.with_status("fail") if not self.explained_by(finding)]

    @property
    def consequences(self) -> list[Finding]:
        """The failed checks that another failure explains."""
        return [finding for finding in self.with_status("fail") if self.explained_by(finding)]

    def explained_by(self, finding: Finding) -> list[str]:
        """Return the names of failed checks of earlier stages that may be why this one failed."""
        stage = CHECKS[finding.check].stage
        return [
            other.check
            for other in self.with_status("fail")
            if CHECKS[other.check].explains_stage(stage)
        ]

    @property
    def faults(self) -> list[str]:
        """Names of the faults, root causes only, each once."""
        return list(dict.fromkeys(finding.fault or finding.check for finding in self.causes))

    @property
    def verdict(self) -> str:
        """The upshot."""
        warned = self.with_status("warn")
        if not self.causes:
            if not warned:
                return "No fault found."
            names = ", ".join(finding.check for finding in warned)
            return f"No fault found; worth a look: {names}."
        what = "; ".join(self.faults)
        count = len(self.faults)
        start = f"{count} faults found" if count > 1 else "1 fault found"
        verdict = f"{start}: {what}."
        if self.consequences:
            names = ", ".join(finding.check for finding in self.consequences)
            verdict += f" It may explain what else failed: {names}."
        return verdict

    def to_frame(self) -> pd.DataFrame:
        """Return one row a check.

        Returns
        -------
        pandas.DataFrame
            Indexed by check; columns status, number, unit, text, cure, fault, explained_by.
        """
        rows = [
            {
                "check": finding.check,
                "status": finding.status,
                "number": finding.number,
                "unit": finding.unit,
                "text": finding.text,
                "cure": finding.cure,
                "fault": finding.fault,
                "explained_by": ", ".join(self.explained_by(finding))
                if finding.status == "fail"
                else "",
            }
            for finding in self.findings
        ]
        return pd.DataFrame(rows).set_index("check")

    def plot(self) -> Any:
        """Draw the range test, the learning curves, and signals and gradients by layer.

        Returns
        -------
        matplotlib.figure.Figure
            With the panels for which there is something to show.

        Raises
        ------
        ValueError
            If the diagnosis ended before there was anything to draw.
        """
        return _plots.draw(self)

    def __str__(self) -> str:
        """Return verdict, causes with their cures, and the table of checks."""
        lines = textwrap.wrap(f"Verdict: {self.verdict}", _WIDTH)
        for finding in self.causes:
            lines += ["", *_wrapped(f"{finding.fault or finding.check}: {finding.text}", "  ")]
            lines += _wrapped(f"Cure: {finding.cure}", "  ")
        lines += ["", _counts(self), ""]
        lines += [line for finding in self.findings for line in _row(finding)]
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Return what `str` does: the table is what one wants to see."""
        return str(self)

    def _repr_html_(self) -> str:
        return _html.table(self)


def _counts(diagnosis: Diagnosis) -> str:
    words = {"fail": "failed", "warn": "warned", "pass": "passed", "skip": "skipped"}
    return ", ".join(f"{len(diagnosis.with_status(status))} {words[status]}" for status in STATUSES)


def shown(finding: Finding) -> str:
    """Return the number of a finding with its unit."""
    if math.isnan(finding.number):
        return ""
    return f"{finding.number:.3g} {finding.unit}".strip()


def _row(finding: Finding) -> list[str]:
    head = f"{_MARKS[finding.status]:5}{finding.check:26}{shown(finding):24}"
    wrapped = textwrap.wrap(finding.text, _WIDTH - len(head)) or [""]
    first, *rest = wrapped
    lines = [head + first, *(" " * len(head) + line for line in rest)]
    if finding.status == "warn" and finding.cure:
        lines += [
            " " * len(head) + line
            for line in textwrap.wrap(f"-> {finding.cure}", _WIDTH - len(head))
        ]
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
