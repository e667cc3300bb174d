"""What the command line shows: progress while it runs, then the advice as a page of text."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlfund.advisor._view import ModelRow, headline, metric_of, model_rows
from mlfund.advisor._words import (
    VERDICTS,
    MetricWords,
    duration,
    how_sure,
    milliseconds,
    model_label,
    number,
    score_digits,
    size,
)

if TYPE_CHECKING:
    from rich.console import Console

    from mlfund.advisor.progress import ProgressEvent

# Of a pipe or file, which has no width of its own.
_PLAIN_WIDTH = 100


class ProgressDisplay:
    """Shows where a run stands: a bar on a terminal, a line a step elsewhere.

    Use it as a context manager and give it to `advise` as ``progress``.

    Parameters
    ----------
    stream : text file, optional
        Where to write; standard error by default, so that standard output stays clean.
    quiet : bool, default=False
        Show nothing.
    """

    def __init__(self, stream: IO[str] | None = None, *, quiet: bool = False) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._last = ""

    def __enter__(self) -> ProgressDisplay:
        """Start the bar where there is a terminal."""
        if not self.quiet and self.stream.isatty():
            self._bar = _rich_bar(self.stream)
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        if self.quiet:
            return
        if self._bar is None:
            self._write_line(event)
            return
        left = _left(event)
        if self._task is None:
            self._task = self._bar.add_task("", total=event.total, left="")
        # rich reads square brackets as markup
        what = event.what.replace("[", r"\[")
        self._bar.update(
            self._task, completed=event.done, total=event.total, description=what, left=left
        )

    def _write_line(self, event: ProgressEvent) -> None:
        width = len(str(event.total))
        position = f"[{event.done:>{width}}/{event.total}]"
        if f"{position} {event.what}" == self._last:
            return
        self._last = f"{position} {event.what}"
        left = _left(event)
        times = f"{duration(event.seconds_elapsed)} so far{f', {left}' if left else ''}"
        self.stream.write(f"{position} {event.what} ({times})\n")
        self.stream.flush()


def _left(event: ProgressEvent) -> str:
    seconds = event.seconds_left_estimate
    if seconds is None or event.done >= event.total:
        return ""
    whole = max(round(seconds), 1)
    return f"about {f'{whole} s' if whole < 60 else duration(whole)} left"


def _rich_bar(stream: IO[str]) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        Elapsed(),
        TextColumn("{task.fields[left]}", style="dim"),
        console=Console(file=stream),
        transient=True,
    )


def print_advice(
    advice: Mapping[str, Any], files: Mapping[str, Path], stream: IO[str] | None = None
) -> None:
    """Write the advice for a person: recommendation, leaderboard, findings, files, next step.

    Parameters
    ----------
    advice : dict
        What `Advice.to_dict` returns.
    files : dict of str to Path
        What was written, by the names ``report``, ``advice`` and ``model``.
    stream : text file, optional
        Standard output by default.
    """
    stream = sys.stdout if stream is None else stream
    console = _console(stream)
    rows, metric = model_rows(advice), metric_of(advice)
    with console.capture() as page:
        _print_recommendation(console, advice)
        if rows:
            _print_leaderboard(console, rows, metric)
        _print_findings(console, advice)
        images = bool((advice.get("profile") or {}).get("images"))
        _print_files(console, files, images=images)
    # rich fills lines with blanks up to the width, and ends tables with a line of blanks
    text = "\n".join(line.rstrip() for line in page.get().split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", text)
    # a name that the terminal has no letters for must not end the run
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))


def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _print_recommendation(console: Console, advice: Mapping[str, Any]) -> None:
    advised = advice.get("recommendation")
    console.print()
    if not advised:
        console.print("No recommendation yet: too little had been finished.", style="bold")
        return
    title, lead = headline(advised)
    console.print(f"{title}.", style="bold green")
    console.print(f"{lead} {how_sure(advised.get('confidence'))}".strip())
    _print_bullets(console, "Why", advised.get("reasons"))
    prose = [advised[key] for key in ("cost", "deep_learning") if advised.get(key)]
    _print_bullets(console, "What it costs, and deep learning", prose)
    _print_bullets(console, "What would change the advice", advised.get("would_change"))
    options = [
        f"{model_label(str(option['name']))}: {option.get('reason', '')}"
        if isinstance(option, Mapping)
        else str(option)
        for option in advised.get("alternatives") or ()
    ]
    _print_bullets(console, "Alternatives", options)


def _print_bullets(console: Console, title: str, items: Sequence[str] | None) -> None:
    if not items:
        return
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console.print()
    console.print(title, style="bold")
    # a grid, so that a wrapped line is indented like its first
    grid = Table.grid(padding=(0, 1))
    for item in items:
        grid.add_row("-", Text(str(item)))
    console.print(Padding(grid, (0, 0, 0, 2)))


def _print_leaderboard(console: Console, rows: Sequence[ModelRow], metric: MetricWords) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    digits = score_digits([row.score for row in rows if row.score is not None])
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("model", no_wrap=True)
    table.add_column(metric.label, justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("verdict")
    for name in ("fit", "one row", "memory", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        style = "bold green" if row.recommended else None if row.score is not None else "dim"
        # a label may hold what looks like markup
        table.add_row(*(Text(cell) for cell in _cells(row, digits)), style=style)
    console.print()
    order = "higher" if metric.greater_is_better else "lower"
    console.print(f"Leaderboard ({metric.label}, {order} is better)", style="bold")
    console.print(table)
    for row in rows:
        if row.status not in ("", "ok"):
            console.print(f"  {row.label}: {row.status}", style="dim")


def _cells(row: ModelRow, digits: int) -> list[str]:
    label = f"{'>' if row.recommended else ' '} {row.label}"
    if row.score is None:
        return [label, "-", "-", row.status.split(":")[0], "-", "-", "-", "-"]
    low, high = row.score_range or (None, None)
    spread = "-" if low is None else f"{number(low, digits)} to {number(high, digits)}"
    return [
        label,
        number(row.score, digits),
        spread,
        VERDICTS.get(row.verdict, row.verdict),
        duration(row.fit_seconds),
        milliseconds(row.latency_ms),
        size(row.peak_bytes),
        size(row.model_bytes),
    ]


def _print_findings(console: Console, advice: Mapping[str, Any]) -> None:
    findings = [
        f"{finding.get('message', '')} {finding.get('fix', '')}".strip()
        if isinstance(finding, Mapping)
        else str(finding)
        for finding in advice.get("leakage") or ()
    ]
    _print_bullets(console, "Look at this: it may be leakage", findings)
    _print_bullets(console, "Warnings", advice.get("warnings"))


def _print_files(console: Console, files: Mapping[str, Path], *, images: bool) -> None:
    if not files:
        return
    console.print()
    console.print("Files", style="bold")
    said = {"report": "open it in a browser", "advice": "the same in numbers", "model": "the model"}
    width = max(len(str(path)) for path in files.values())
    for kind, path in files.items():
        # no wrapping: a path is there to be copied
        console.print(f"  {path!s:<{width}}  {said.get(kind, '')}", soft_wrap=True)
    if "model" in files:
        console.print()
        console.print("Next", style="bold")
        new = "new-images/" if images else "new.csv"
        command = f"mlfund predict {files['model']} {new} --out predictions.csv"
        console.print(f"  {command}", soft_wrap=True)
    console.print()
