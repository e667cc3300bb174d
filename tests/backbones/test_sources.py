"""Sources of backbones: values by name, small pickles, one encoder a process."""

import copy
import importlib
import os
import pickle
import re
import sys
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

import mlfund
from mlfund import BackboneFeatures
from mlfund.backbones import (
    Backbone,
    EfficientNetLite0,
    OwnBackbone,
    TimmBackbone,
    TorchBackbone,
    TorchvisionBackbone,
    _source,
    _torch_modules,
    get_backbone,
    shared_encoder,
)
from mlfund.backbones._source import KEPT, file_fingerprint
from mlfund.backbones._weights import read_weights
from mlfund.nets.convnet import ReadPixels
from mlfund.nets.layers import Activate, Conv, GlobalPool, Norm, build
from tests.backbones.tiny import image_source, images

LAYERS = (Conv(4), Norm(), Activate(), GlobalPool())


def own(channels=3, mean=0.4, scale=0.2):
    torch.manual_seed(0)
    pixels = ReadPixels((6, 5, channels), (mean,) * channels, (scale,) * channels)
    state = build(LAYERS, (channels, 6, 5)).state_dict()
    return Backbone(LAYERS, pixels, {name: t.numpy() for name, t in state.items()})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("efficientnet_lite0", EfficientNetLite0()),
        ("timm:resnet18", TimmBackbone("resnet18")),
        ("torchvision:resnet18", TorchvisionBackbone("resnet18")),
        (TimmBackbone("resnet18", checkpoint="here"), TimmBackbone("resnet18", checkpoint="here")),
    ],
)
def test_names_become_sources(given, expected):
    assert get_backbone(given) == get_backbone(given, "image") == expected
    assert hash(get_backbone(given)) == hash(expected)


def test_modules_and_exported_encoders_become_sources():
    backbone, module = own(), nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1))
    assert get_backbone(backbone) == OwnBackbone(backbone)
    assert get_backbone(module) == TorchBackbone(module)


def test_download_is_only_what_is_asked_for():
    assert get_backbone("timm:resnet18").download is False
    assert get_backbone("timm:resnet18", download=True).download is True
    assert get_backbone("efficientnet_lite0", download=True) == EfficientNetLite0()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("efficient_net_lite0", r"allowed are .*Did you mean 'efficientnet_lite0'\?"),
        ("tim:resnet18", "'timm:NAME'"),
        (3, "backbone must be a name.*got int"),
        (nn.Linear, "got Linear|got type"),
    ],
)
def test_what_is_no_backbone_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        get_backbone(given)


def test_names_of_libraries_are_hinted_at_for_images():
    hint = "Models of libraries are given as 'timm:resnet50' or 'torchvision:resnet50'."
    for kind in ("image", None):
        with pytest.raises(ValueError, match=re.escape(hint)):
            get_backbone("resnet50", kind)
    for name, kind in [("resnet50", "text"), ("tim:resnet18", "image"), ("my model", "image")]:
        with pytest.raises(ValueError, match="is not known") as raised:
            get_backbone(name, kind)
        assert "of libraries" not in str(raised.value)


def test_folders_of_images_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    allowed = (
        "images take the folder of a CLIP model that you have downloaded, 'timm:NAME', "
        "'torchvision:NAME', or 'efficientnet_lite0'."
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.pth").touch()
    for given, what in [
        ("/nope/nope", "there is no such folder"),
        ("~/nope", "there is no such folder"),
        ("openai/clip-vit-base-patch32", "there is no such folder"),
        (tmp_path / "weights.pth", "it is a file"),
        (tmp_path / "empty", "there is no config.json in it"),
        ("~/empty", "there is no config.json in it"),
    ]:
        sentence = f"backbone={str(given)!r} is no folder of a model: {what}; {allowed}"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            get_backbone(given, "image")
        # Of texts it may be the name of a model, which is looked for when it is loaded.
        if what == "there is no such folder":
            assert get_backbone(given, "text").kind == get_backbone(given).kind == "text"
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="takes texts, and a backbone of images is needed"):
        get_backbone(tmp_path / "empty", "image")


def test_encoder_of_ones_own_has_to_be_exported():
    from mlfund import ContrastiveEncoder

    with pytest.raises(ValueError, match=r"backbone=encoder\.export_backbone\(\)"):
        get_backbone(ContrastiveEncoder())


def test_kind_is_checked():
    with pytest.raises(ValueError, match="takes images, and a backbone of texts is needed"):
        get_backbone("efficientnet_lite0", "text")
    with pytest.raises(ValueError, match="kind='sound' is not known"):
        get_backbone("efficientnet_lite0", "sound")


@pytest.mark.parametrize("source", [EfficientNetLite0("x"), image_source(), OwnBackbone(own())])
def test_copies_are_the_value_itself(source):
    assert clone(source) is copy.copy(source) is copy.deepcopy(source) is source


class Kept(EfficientNetLite0):
    """One whose file of weights is any file."""

    def build(self):
        return image_source().build()


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    return Kept(str(path))


def test_pickle_is_small_and_refuses_other_weights(kept):
    state = pickle.dumps(kept)
    assert len(state) < 1_000
    again = pickle.loads(state)
    assert again == kept
    again.load()
    with open(kept.checkpoint, "wb") as file:
        file.write(b"other")
    kept.load()
    for use in (again.check, again.load, lambda: shared_encoder(again)):
        with pytest.raises(ValueError, match="have changed: their fingerprint is"):
            use()
    # A second pickle does not forget what the first one was made with.
    with pytest.raises(ValueError, match="have changed"):
        pickle.loads(pickle.dumps(again)).check()


def test_paths_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "w.pt")
    assert file_fingerprint("~/w.pt") == file_fingerprint(tmp_path / "w.pt")
    assert list(read_weights("~/w.pt")) == ["weight"]


def test_fingerprint_is_that_of_content_read_once(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    first = file_fingerprint(path)
    other = tmp_path / "other"
    other.write_bytes(b"content")
    assert file_fingerprint(other) == first
    opened = []
    monkeypatch.setattr("builtins.open", lambda *a, **k: opened.append(a))
    assert file_fingerprint(path) == first
    assert not opened
    monkeypatch.undo()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(1, 1))
    assert file_fingerprint(path) != first
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        file_fingerprint(tmp_path / "nothing")


def test_a_process_has_one_encoder_that_is_not_trained():
    # torch has one seed for all threads: the weights are drawn before these start.
    source, found = image_source(seed=5), []
    equal = [image_source(seed=5) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: found.append(shared_encoder(one))) for one in equal
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(encoder) for encoder in found}) == 1
    assert not found[0].training
    assert not any(parameter.requires_grad for parameter in found[0].parameters())
    for seed in range(10, 10 + KEPT):
        shared_encoder(image_source(seed=seed))
    assert shared_encoder(source) is not found[0]


def test_module_of_ones_own_is_copied_and_checked():
    source = image_source()
    encoder = source.load()
    rows = torch.from_numpy(images(4).reshape(4, -1))
    before = encoder(rows)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    assert torch.equal(source.load()(rows), before)
    again = pickle.loads(pickle.dumps(source))
    assert again == source
    assert again.fingerprint == source.fingerprint
    assert image_source(seed=1) != source
    assert TorchBackbone(source.module, image_size=(9, 8)) != source
    state = source.__getstate__()
    state["module"] = image_source(seed=1).module
    with pytest.raises(ValueError, match="was changed after it was saved"):
        TorchBackbone.__new__(TorchBackbone).__setstate__(state)


BODY = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, power=1):
        super().__init__()
        self.power = power
        self.register_buffer("shift", torch.zeros(3), persistent=False)

    def forward(self, images):
        return (images.mean((2, 3)) + self.shift) ** self.power

class Body(Base):
    pass
"""


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(code):
        (tmp_path / "net_of_ones_own.py").write_text(code)
        sys.modules.pop("net_of_ones_own", None)
        importlib.invalidate_caches()
        return importlib.import_module("net_of_ones_own").Body

    yield write
    sys.modules.pop("net_of_ones_own", None)


def test_fingerprint_of_a_module_is_of_what_it_does(write_module):
    body = write_module(BODY)
    source = TorchBackbone(body())
    assert TorchBackbone(body()).fingerprint == source.fingerprint
    assert TorchBackbone(body(power=2)).fingerprint != source.fingerprint
    shifted = body()
    shifted.shift += 1
    assert TorchBackbone(shifted).fingerprint != source.fingerprint
    saved = pickle.dumps(source)
    assert pickle.loads(saved).fingerprint == source.fingerprint
    other = write_module(BODY.replace("images.mean", "images.sum"))
    assert TorchBackbone(other()).fingerprint != source.fingerprint
    # Embeddings of the former code are not found for the code of today.
    with pytest.warns(UserWarning, match="The code of Body has changed since it was saved"):
        again = pickle.loads(saved)
    assert again.fingerprint == TorchBackbone(other()).fingerprint
    assert pickle.loads(pickle.dumps(again)).fingerprint == again.fingerprint


def test_a_module_is_what_it_was_where_its_source_is_not(write_module, monkeypatch):
    source = TorchBackbone(write_module(BODY)())
    saved = pickle.dumps(source)
    _torch_modules._sources.cache_clear()
    monkeypatch.setattr(_torch_modules, "source_of", lambda code: None)
    assert pickle.loads(saved).fingerprint == source.fingerprint
    _torch_modules._sources.cache_clear()


def test_a_module_of_ones_own_is_pickled_and_not_saved(tmp_path):
    model = BackboneFeatures(image_source(), cache=False).fit(images(2))
    with pytest.raises(ValueError, match=r"is a module of your own, .*pickle the model"):
        mlfund.save(model, tmp_path / "model.skops", standalone=True)
    with pytest.raises(ValueError, match=r"torch tensor, .*; with a module as backbone, .* pickle"):
        mlfund.save(model, tmp_path / "model.skops")
    found = pickle.loads(pickle.dumps(model)).transform(images(2))
    np.testing.assert_array_equal(found, model.transform(images(2)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_an_encoder_is_loaded_locks_nothing():
    with _source._lock:
        child = os.fork()
        if child == 0:
            os._exit(int(_source._lock.locked()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(1, 2, 3), "cannot read images of 8 x 8 pixels and 3 channels"),
        (nn.Conv2d(3, 2, 3), r"makes \(1, 2, 6, 6\) of one image"),
        (nn.Linear, "must be a torch module"),
    ],
)
def test_modules_that_make_no_embeddings_are_refused(module, message):
    with pytest.raises(ValueError, match=message):
        TorchBackbone(module, image_size=(8, 8)).load()


@pytest.mark.parametrize(("mean", "scale", "white"), [(0.4, 0.2, 1.0), (90.0, 50.0, 255.0)])
def test_own_encoder_reads_bytes_in_the_unit_it_was_trained_in(mean, scale, white):
    backbone = own(mean=mean, scale=scale)
    X = images(3, (6, 5))
    body = build(LAYERS, (3, 6, 5)).eval()
    backbone.load_into(body)
    with torch.no_grad():
        expected = body(backbone.pixels.images(torch.from_numpy(X.reshape(3, -1) * (white / 255))))
        found = OwnBackbone(backbone).load()(torch.from_numpy(X.reshape(3, -1)))
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)


def test_own_encoder_of_grey_images_reads_colours():
    backbone = own(channels=1)
    grey = images(3, (6, 5))[..., :1]
    body = build(LAYERS, (1, 6, 5)).eval()
    backbone.load_into(body)
    with torch.no_grad():
        expected = body(backbone.pixels.images(torch.from_numpy(grey.reshape(3, -1) / 255)))
        rows = np.repeat(grey, 3, axis=3).reshape(3, -1)
        found = OwnBackbone(backbone).load()(torch.from_numpy(rows))
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


def test_own_encoder_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="images of 2 channels"):
        OwnBackbone(own(channels=2))
    assert OwnBackbone(own(), white=255.0) != OwnBackbone(own())
