"""The benchmark of MLPs on a GPU, with torch's CPU device in its place."""

import pytest
import torch

from benchmarks import gpu_mlp
from benchmarks._harness import Unavailable
from benchmarks.gpu_mlp import peers


def test_runs_and_reports(monkeypatch):
    monkeypatch.setattr(gpu_mlp, "cuda_device", lambda: "stand-in")
    monkeypatch.setattr(peers, "DEVICE", "cpu")
    result = gpu_mlp.run(quick=True)
    (net,) = result["nets"]
    assert set(net["seconds"]) == {"graph by hand", "mlfund", "skorch"}
    assert all(row["test_accuracy"] > 0.3 for row in net["table"])
    assert "stand-in" in gpu_mlp.report(result)


def test_says_that_there_is_no_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unavailable, match="no CUDA device"):
        gpu_mlp.run(quick=True)
