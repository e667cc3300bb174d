"""The image half of a tiny random CLIP model as a backbone, and folders that hold none."""

import json
import re
import shutil

import numpy as np
import pytest

from mlfund.backbones import get_backbone, shared_encoder
from mlfund.backbones._image_text import ImageTextBackbone
from tests.backbones.text_models import offer_code, save_tokenizer
from tests.image_text_models import N_FEATURES, SIDE, write_clip

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("models") / "clip")


def test_the_image_half_is_a_backbone(clip):
    source = get_backbone(clip, "image")
    assert source == ImageTextBackbone(str(clip))
    encoder = source.load()
    assert (encoder.pixels.size, encoder.n_features) == ((SIDE, SIDE, 3), N_FEATURES)
    assert encoder.interpolation == "bicubic"
    grouped = [p for group in encoder.groups() for p in group.parameters()]
    assert {id(p) for p in grouped} == {id(p) for p in encoder.parameters()}
    assert len(encoder.groups()) > 2
    assert not any("text" in name for name, _ in encoder.named_parameters())
    with pytest.raises(ValueError, match="takes images of 16 x 16 pixels and cannot take 32 x 32"):
        encoder.with_size(32, 32)
    with pytest.raises(ValueError, match="takes images, and a backbone of texts is needed"):
        get_backbone(clip, "text")


def test_a_folder_may_be_in_the_home_of_the_user(clip, monkeypatch):
    monkeypatch.setenv("HOME", str(clip.parent))
    monkeypatch.setenv("USERPROFILE", str(clip.parent))
    source = get_backbone("~/clip", "image")
    assert source == ImageTextBackbone("~/clip")
    assert source.fingerprint == ImageTextBackbone(str(clip)).fingerprint
    assert source.load().n_features == N_FEATURES
    assert source.embed_prompts(["a rose"])[0].shape == (1, N_FEATURES)


def test_the_fingerprint_is_that_of_the_files(clip, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(clip, folder)
    here, there = ImageTextBackbone(str(clip)), ImageTextBackbone(str(folder))
    assert here.fingerprint == there.fingerprint
    (folder / "README.md").write_text("A model.")
    assert here.fingerprint == there.fingerprint
    write_clip(folder, seed=1)
    assert here.fingerprint != there.fingerprint


def test_prompts_have_directions(clip):
    found, scale = ImageTextBackbone(str(clip)).embed_prompts(["a rose", "the daisies"])
    assert (found.shape, found.dtype) == ((2, N_FEATURES), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert scale == pytest.approx(1 / 0.07, rel=1e-3)


def test_folders_without_such_a_model_are_refused(clip, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder of a model: there is no config"):
        ImageTextBackbone(str(tmp_path)).embed_prompts(["a"])
    folder = tmp_path / "clip"
    shutil.copytree(clip, folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="does not say how pixels are standardised"):
        ImageTextBackbone(str(folder)).load()
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json is damaged"):
        ImageTextBackbone(str(folder)).load()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"The model in .* cannot be loaded"):
        ImageTextBackbone(str(folder)).embed_prompts(["a"])
    text_only = tmp_path / "bert"
    config = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    bert = transformers.BertConfig(**config, num_hidden_layers=1, vocab_size=70)
    transformers.BertModel(bert).save_pretrained(text_only)
    with pytest.raises(ValueError, match="does not embed images and texts in one space"):
        shared_encoder(ImageTextBackbone(str(text_only)))


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"3"])
def test_a_folder_with_a_damaged_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(str(tmp_path))) as raised:
        _ = get_backbone(tmp_path).fingerprint
    assert not isinstance(raised.value, json.JSONDecodeError | UnicodeDecodeError)


def test_code_of_a_folder_is_not_run(tmp_path, monkeypatch):
    save_tokenizer(tmp_path)
    asked = offer_code(tmp_path, monkeypatch, text_config={})
    with pytest.raises(ValueError, match=r"The model in .* cannot be loaded"):
        ImageTextBackbone(str(tmp_path)).embed_prompts(["a"])
    assert not asked
