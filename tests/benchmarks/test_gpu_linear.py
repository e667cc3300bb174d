"""The benchmark of linear models on a GPU, with torch's CPU device in its place."""

import pytest
import torch

from benchmarks import gpu_linear
from benchmarks._harness import Unavailable
from mlfund.estimators import linear


def test_runs_and_reports(monkeypatch):
    monkeypatch.setattr(gpu_linear, "cuda_device", lambda: "stand-in")
    stand_in = {"cuda": torch.device("cpu")}
    monkeypatch.setattr(linear, "accelerator", lambda device, *size: stand_in.get(device))
    result = gpu_linear.run(quick=True)
    (outcome,) = result["problems"].values()
    assert {"mlfund cuda", "mlfund cpu", "scikit-learn newton-cholesky"} <= set(outcome["seconds"])
    assert all(f["suboptimality"] <= gpu_linear.WANTED for f in outcome["found"].values())
    assert "stand-in; time to 1e-06" in gpu_linear.report(result)


def test_says_that_there_is_no_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unavailable, match="no CUDA device"):
        gpu_linear.run(quick=True)
