import numpy as np
import pytest
import torch

from mlfund import MLPClassifier
from mlfund._engine import batches as batches_module
from mlfund._engine.batches import Batches
from mlfund._engine.data import DeviceRows
from mlfund._engine.stream import HostBlocks, is_memory_mapped, stays_on_host
from tests.engine.problem import X, Y, make_engine, weights_of


@pytest.fixture
def mapped(tmp_path):
    """X in a file that is mapped and may not be written."""
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


def test_a_mapped_file_is_recognised_through_its_views(mapped):
    assert is_memory_mapped(mapped)
    assert is_memory_mapped(np.asarray(mapped)[3:])
    assert is_memory_mapped(np.frombuffer(mapped.base, np.uint8))
    assert not is_memory_mapped(X)
    assert not is_memory_mapped(np.array(mapped))
    assert not stays_on_host(X, torch.device("cpu"))


def test_a_mapped_file_is_not_copied(mapped):
    rows = DeviceRows(mapped, Y)
    assert rows.on_host
    assert np.shares_memory(rows.X, mapped)
    assert rows.largest_feature() == np.abs(X).max()
    np.testing.assert_array_equal(rows.features(slice(2, 5)).numpy(), X[2:5])


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 20])
def test_batches_are_those_of_resident_rows(monkeypatch, mapped, shuffled, block_bytes):
    monkeypatch.setattr(batches_module, "BLOCK_BYTES", block_bytes)
    order = np.random.RandomState(0).permutation(60)
    draw = (lambda: order) if shuffled else None
    pairs = zip(
        Batches(DeviceRows(mapped, Y), 7, draw), Batches(DeviceRows(X, Y), 7, draw), strict=True
    )
    for streamed, resident in pairs:
        assert torch.equal(streamed[0], resident[0])
        assert torch.equal(streamed[1], resident[1])


@pytest.mark.parametrize("capture", [False, True])
def test_training_is_that_on_resident_rows(mapped, capture):
    streamed = make_engine(capture=capture).partial_fit(DeviceRows(mapped, Y))
    resident = make_engine().partial_fit(DeviceRows(X, Y))
    assert streamed._captured is None
    for ours, theirs in zip(weights_of(streamed), weights_of(resident), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_trains_from_a_mapped_file(mapped):
    ours, theirs = (
        MLPClassifier((8,), max_iter=3, random_state=0).fit(rows, Y) for rows in (mapped, X)
    )
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.gpu
def test_blocks_arrive_while_others_are_in_use():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5000, 64)).astype(np.float32)
    blocks = HostBlocks(rows, 512, torch.device("cuda"))
    weight = torch.randn(64, 64, device="cuda")
    sums = []
    indices = [rng.permutation(5000)[:512] for _ in range(20)]
    for index in indices:
        block = blocks.take(index)
        for _ in range(50):
            block = block @ weight * 0.1
        sums.append(block.sum())
    for index, found in zip(indices, sums, strict=True):
        block = torch.from_numpy(rows[index]).to("cuda")
        for _ in range(50):
            block = block @ weight * 0.1
        torch.testing.assert_close(found, block.sum())


@pytest.mark.gpu
def test_a_device_streams_what_it_is_told_to_keep_on_the_host():
    module = make_engine().module.to("cuda")
    streamed = make_engine(module, device="cuda")
    streamed.partial_fit(DeviceRows(X, Y, device="cuda", on_host=True))
    resident = make_engine().partial_fit(DeviceRows(X, Y))
    np.testing.assert_allclose(
        streamed.history[:, "train_loss"], resident.history[:, "train_loss"], rtol=1e-8
    )
