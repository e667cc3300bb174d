"""Stacks in several threads give what one thread gives, and end cleanly."""

import threading

import numpy as np
import pytest
import torch

from mlfund import MLPClassifier
from mlfund.model_selection import _mlp_threads
from mlfund.model_selection._mlp_family import MLPFamily
from tests.mlp_data import X, Y
from tests.model_selection.mlp_stacks import SHORT, assert_as_alone, rows_of


@pytest.fixture
def two_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(_mlp_threads, "FLOP_OF_THREAD", 1.0)
    yield
    assert torch.get_num_threads() == 2
    assert not any("_run" in thread.name for thread in threading.enumerate())
    torch.set_num_threads(before)


def candidates(**shared):
    return [MLPClassifier(**{**SHORT, **shared}, alpha=alpha) for alpha in (0.0, 0.1, 1.0)]


def test_same_fits(two_threads):
    assert_as_alone(candidates(early_stopping=True), rows_of(X, Y))


def test_progress_is_told_from_the_calling_thread(two_threads):
    told = []

    def report(alive, total):
        told.append((alive, total, threading.current_thread()))

    rows = rows_of(X, Y)
    found = list(MLPFamily().train(candidates(), rows, memory_limit=10**6, report=report))
    assert len(found) == 2
    assert {(total, thread) for _, total, thread in told} == {(6, threading.main_thread())}
    alive = [alive for alive, _, _ in told]
    assert alive == sorted(alive, reverse=True)
    assert alive[-1] == 0


def test_search_that_is_given_up_ends_its_threads(two_threads):
    rows = rows_of(X, Y)
    training = MLPFamily().train(
        candidates(max_iter=10_000, tol=0.0, n_iter_no_change=np.inf)[:1]
        + candidates(max_iter=1)[1:],
        rows,
        memory_limit=None,
        report=lambda alive, total: alive == 6 or training_interrupted(),
    )
    with pytest.raises(KeyboardInterrupt):
        list(training)


def training_interrupted():
    raise KeyboardInterrupt


def test_errors_of_a_thread_are_raised(two_threads, monkeypatch):
    def broken(*args, **options):
        raise MemoryError("no room")
        yield

    monkeypatch.setattr(_mlp_threads, "train_replicas", broken)
    with pytest.raises(MemoryError, match="no room"):
        list(MLPFamily().train(candidates(), rows_of(X, Y), memory_limit=None, report=None))
