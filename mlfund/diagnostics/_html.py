"""A diagnosis as HTML, for notebooks: light and dark, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlfund.diagnostics._findings import Finding
    from mlfund.diagnostics.diagnosis import Diagnosis

_STYLE = """
.mlfund-diagnosis { font: 14px/1.45 system-ui, sans-serif; max-width: 70rem; }
.mlfund-diagnosis table { border-collapse: collapse; width: 100%; }
.mlfund-diagnosis td, .mlfund-diagnosis th {
  text-align: left; vertical-align: top; padding: 4px 8px;
  border-top: 1px solid rgba(128, 128, 128, 0.35);
}
.mlfund-diagnosis .number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.mlfund-diagnosis .cure { opacity: 0.8; }
.mlfund-diagnosis .fail { color: #d1242f; font-weight: 600; }
.mlfund-diagnosis .warn { color: #b7791f; font-weight: 600; }
.mlfund-diagnosis .pass { color: #2a7d46; }
.mlfund-diagnosis .skip { opacity: 0.5; }
"""


def table(diagnosis: Diagnosis) -> str:
    """Return verdict, causes and table as one HTML fragment."""
    causes = "".join(
        f"<li><b>{escape(finding.fault or finding.check)}</b>: {escape(finding.text)} "
        f"<span class='cure'>{escape(finding.cure)}</span></li>"
        for finding in diagnosis.causes
    )
    rows = "".join(_row(finding) for finding in diagnosis.findings)
    notes = "".join(f"<p>{escape(note)}</p>" for note in diagnosis.notes)
    return (
        f"<div class='mlfund-diagnosis'><style>{_STYLE}</style>"
        f"<p><b>{escape(diagnosis.verdict)}</b></p>"
        + (f"<ul>{causes}</ul>" if causes else "")
        + "<table><thead><tr><th>status</th><th>check</th><th>number</th><th>finding</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>{notes}</div>"
    )


def _row(finding: Finding) -> str:
    from mlfund.diagnostics.diagnosis import shown

    cure = ""
    if finding.status in ("fail", "warn") and finding.cure:
        cure = f"<div class='cure'>{escape(finding.cure)}</div>"
    return (
        f"<tr><td class='{finding.status}'>{finding.status}</td><td>{escape(finding.check)}</td>"
        f"<td class='number'>{escape(shown(finding))}</td>"
        f"<td>{escape(finding.text)}{cure}</td></tr>"
    )
