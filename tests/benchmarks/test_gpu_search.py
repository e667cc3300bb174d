"""The benchmark of searches on a GPU, with torch's CPU device in its place."""

import pytest
import torch

from benchmarks import gpu_search
from benchmarks._harness import Unavailable


def test_runs_and_reports(monkeypatch):
    monkeypatch.setattr(gpu_search, "cuda_device", lambda: "stand-in")
    monkeypatch.setattr(gpu_search, "DEVICE", "cpu")
    result = gpu_search.run(quick=True)
    assert set(result["seconds"]) == {"BatchedGridSearchCV", "GridSearchCV"}
    assert result["largest_accuracy_gap"] < 0.02
    assert "stand-in" in gpu_search.report(result)


def test_says_that_there_is_no_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unavailable, match="no CUDA device"):
        gpu_search.run(quick=True)
