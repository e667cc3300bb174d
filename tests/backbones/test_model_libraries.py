"""Models of timm and torchvision: local weights, and clear words without them.

Both libraries are extras that need a torch of the same build: a small stand-in for timm has the
functions that are called; where the real ones can be imported, they are tested too.
"""

import sys
import types

import pytest
import torch
from torch import nn

from mlfund._check import require
from mlfund.backbones import TimmBackbone, TorchvisionBackbone
from mlfund.backbones import _timm as timm_source


class Model(nn.Module):
    """A classifier as timm makes it: `num_classes=0` leaves the last layer out."""

    def __init__(self, num_classes):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, num_classes) if num_classes else nn.Identity()

    def forward(self, images):
        return self.fc(self.norm(self.stem(images)).mean((2, 3)))


@pytest.fixture
def timm(monkeypatch, tmp_path):
    reading = {
        "input_size": (3, 20, 24),
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.2, 0.25),
        "interpolation": "bilinear",
    }
    settings = types.SimpleNamespace(
        classifier="fc", hf_hub_id=None, url="https://example.org/tiny.pth"
    )
    module = types.ModuleType("timm")
    module.__version__ = "1.0.3"
    module.made = []
    module.is_model = lambda name: name == "tiny"
    module.list_models = lambda: ["tiny"]
    module.data = types.SimpleNamespace(resolve_model_data_config=lambda model: reading)
    module.get_pretrained_cfg = lambda name, allow_unregistered: settings
    folder = tmp_path / "hub"
    (folder / "checkpoints").mkdir(parents=True)
    cached = folder / "checkpoints" / "tiny.pth"

    def create_model(name, pretrained, num_classes=10):
        module.made.append(pretrained)
        model = Model(num_classes)
        if pretrained:
            torch.save(model.state_dict(), cached)
        return model

    module.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    return module


def saved(model, path):
    torch.save({"state_dict": {f"module.{k}": t for k, t in model.state_dict().items()}}, path)
    return str(path)


def test_local_checkpoint_is_read_without_its_classifier(timm, tmp_path):
    model = Model(7).eval()
    model.norm.running_mean.uniform_()
    encoder = TimmBackbone("tiny", checkpoint=saved(model, tmp_path / "tiny.pth")).load()
    assert (encoder.n_features, encoder.interpolation) == (4, "bilinear")
    assert encoder.pixels.size == (20, 24, 3)
    assert encoder.pixels.mean == pytest.approx((127.5, 102.0, 76.5))
    assert encoder.pixels.scale == pytest.approx((51.0, 51.0, 63.75))
    images = torch.randn(2, 3, 20, 24)
    model.fc = nn.Identity()
    assert torch.equal(encoder(images), model(images))
    torch.testing.assert_close(encoder.for_inference()(images), model(images))
    assert timm.made == [False] * len(timm.made)


def test_another_version_of_timm_may_make_another_net(timm, tmp_path):
    source = TimmBackbone("tiny", checkpoint=saved(Model(7), tmp_path / "tiny.pth"))
    before = source.fingerprint
    timm.__version__ = "1.0.9"
    assert source.fingerprint == before
    timm.__version__ = "1.1.0"
    assert source.fingerprint != before


def test_nothing_is_downloaded_unless_asked_for(timm):
    with pytest.raises(FileNotFoundError, match=r"'timm:tiny'.*download=True"):
        TimmBackbone("tiny").load()
    assert True not in timm.made
    source = TimmBackbone("tiny", download=True)
    source.load()
    assert timm.made.count(True) == 1
    assert TimmBackbone("tiny").fingerprint == source.fingerprint


def test_hub_cache_is_looked_into(monkeypatch, tmp_path):
    hub = types.ModuleType("huggingface_hub")
    hub.asked = []

    def find(repository, name):
        hub.asked.append((repository, name))
        return str(tmp_path / name) if name == "pytorch_model.bin" else None

    hub.try_to_load_from_cache = find
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    settings = types.SimpleNamespace(hf_hub_id="timm/tiny", hf_hub_filename=None, url=None)
    assert timm_source._in_cache(settings) == tmp_path / "pytorch_model.bin"
    assert hub.asked == [("timm/tiny", "model.safetensors"), ("timm/tiny", "pytorch_model.bin")]


def test_weights_of_another_model_and_unknown_names_are_refused(timm, tmp_path):
    path = saved(nn.Linear(2, 3), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"not those of TimmBackbone.*stem\.weight has shape None"):
        TimmBackbone("tiny", checkpoint=path).load()
    with pytest.raises(ValueError, match=r"no model of timm.*Did you mean 'timm:tiny'\?"):
        TimmBackbone("tinny").load()


@pytest.mark.parametrize("source", [TimmBackbone("resnet18"), TorchvisionBackbone("resnet18")])
@pytest.mark.parametrize("error", [ImportError("no such module"), RuntimeError("nms is missing")])
def test_library_that_cannot_be_imported_names_the_extra(source, error, monkeypatch):
    def fail(name):
        raise error

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ImportError, match=rf"\({error}\).*mlfund\[vision\]"):
        source.load()


def library(name):
    try:
        return require(name, "vision")
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_real_timm_models(name, tmp_path):
    timm = library("timm")
    model = timm.create_model(name, pretrained=False).eval()
    encoder = TimmBackbone(name, checkpoint=saved(model, tmp_path / "w.pth")).load()
    model.reset_classifier(0)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(encoder(images), model(images))


def test_real_torchvision_models(tmp_path):
    models = library("torchvision.models")
    model = models.get_model("resnet18", weights=None).eval()
    path = saved(model, tmp_path / "w.pth")
    encoder = TorchvisionBackbone("resnet18", checkpoint=path).load()
    model.fc = nn.Identity()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(encoder(images), model(images))
    with pytest.raises(ValueError, match=r"Did you mean 'torchvision:resnet18'\?"):
        TorchvisionBackbone("resnet17").load()
