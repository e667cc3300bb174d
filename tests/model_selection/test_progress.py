"""The line of a search says models done, alive, seconds and the best mean score so far."""

import io
import re
import sys

import numpy as np
import pytest

from mlfund import _progress_line
from mlfund.model_selection._progress import SearchProgress


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves: `clock[0]` is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(_progress_line.time, "perf_counter", lambda: now[0])
    return now


def score(value):
    return {"test_scores": value}


def test_nothing_is_told_without_verbose(clock, capsys):
    with SearchProgress(0, 2, 2) as progress:
        clock[0] += 1000
        progress.report(4, 4)
        progress.finished([(0, 0, score(1.0))])
    assert capsys.readouterr().out == ""


def test_a_line_tells_what_is_done_alive_and_best(clock, capsys):
    with SearchProgress(1, 2, 2) as progress:
        progress.finished([(0, 0, score(0.5)), (1, 0, score(0.9))])
        clock[0] += 2
        progress.report(2, 4)
        assert capsys.readouterr().out == "2/4 models done  2 alive  2.0 s\n"
        progress.finished([(0, 1, score(0.7))])
        clock[0] += 10
        progress.report(1, 4)
        # candidate 1 has one split only: no mean yet, although its score is the best
        expected = "3/4 models done  1 alive  12.0 s  best mean score 0.6\n"
        assert capsys.readouterr().out == expected
        progress.finished([(1, 1, score(0.8))])
    assert capsys.readouterr().out == "4/4 models done  12.0 s  best mean score 0.85\n"


def test_lines_come_at_growing_distances(clock, capsys):
    times = []
    with SearchProgress(1, 1, 1) as progress:
        for _ in range(40_000):
            clock[0] += 0.1
            progress.report(1, 1)
            if capsys.readouterr().out:
                times.append(clock[0])
    gaps = np.diff(times)
    assert 0.9 < times[0] - 100 < 1.2
    assert (np.diff(gaps) > -0.15).all()
    assert 59 < gaps.max() < 61
    assert len(times) < 100


def test_a_terminal_shows_one_line_that_changes(clock, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    with SearchProgress(1, 1, 2) as progress:
        clock[0] += 1
        progress.report(10_000, 10_000)
        clock[0] += 1
        progress.report(1, 10_000)
    text = screen.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    long, short, last = text.split("\r")[1:]
    assert long == "0/2 models done  10000 alive  1.0 s"
    assert short.rstrip() == "0/2 models done  1 alive  2.0 s"
    assert len(short) == len(long)
    assert len(last.rstrip("\n")) >= len(short.rstrip())


def test_the_metric_of_refit_is_told_and_failures_are_no_best(clock, capsys):
    def both(accuracy, loss):
        return {"test_scores": {"accuracy": accuracy, "neg_log_loss": loss}}

    with SearchProgress(1, 3, 1, metric="neg_log_loss") as progress:
        progress.finished([(0, 0, both(0.9, -0.5)), (1, 0, both(0.8, -0.25))])
        progress.finished([(2, 0, both(np.nan, np.nan))])
    assert "3/3 models done  0.0 s  best mean neg_log_loss -0.25\n" in capsys.readouterr().out
    with SearchProgress(1, 1, 1) as progress:
        progress.finished([(0, 0, score(np.nan))])
    assert not re.search("best|nan", capsys.readouterr().out)


def test_what_was_resumed_is_said(clock, capsys):
    with SearchProgress(1, 2, 1) as progress:
        progress.finished([(0, 0, score(0.1))], resumed=True)
        progress.finished([(1, 0, score(0.2))])
    out = capsys.readouterr().out
    assert out == "2/2 models done (1 of them before)  0.0 s  best mean score 0.2\n"
