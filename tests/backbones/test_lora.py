"""Adapters: nothing changes at first, they alone are trained, and merged they cost nothing."""

import pickle
import sys

import numpy as np
import pytest
import torch

from mlfund.backbones import HuggingFaceText
from mlfund.backbones._lora import merged_lora, with_lora
from mlfund.backbones._text_batches import embed_texts
from tests.backbones.text_models import TEXTS, save_bert

pytest.importorskip("transformers")
pytest.importorskip("peft")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return HuggingFaceText(str(save_bert(tmp_path_factory.mktemp("bert"))))


def trained(encoder, steps=3):
    """Train all that may be trained, towards nothing in particular."""
    tokens = torch.from_numpy(encoder.tokenise(TEXTS))
    parameters = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        encoder(tokens)[:, 0].sum().backward()
        optimizer.step()
    return encoder


def test_embeddings_are_the_same_at_first(source):
    plain = source.load()
    adapted = with_lora(source.load(), rank=3)
    np.testing.assert_array_equal(embed_texts(adapted, TEXTS), embed_texts(plain, TEXTS))
    assert len(adapted.groups()) == len(plain.groups())
    held = {id(t) for group in adapted.groups() for t in group.parameters()}
    assert held == {id(t) for t in adapted.parameters()}


def test_only_adapters_of_every_linear_layer_are_trained(source):
    encoder = with_lora(source.load(), rank=3)
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    trained(encoder)
    changed = {n for n, p in encoder.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {name for name in before if "lora_" in name}
    # Two layers of six linear ones with two matrices each.
    assert len(changed) == 2 * 6 * 2


def test_the_layer_is_its_formula(source):
    plain = source.load()
    encoder = trained(with_lora(source.load(), rank=3, alpha=1.5))
    weights = dict(encoder.body.named_parameters())
    merged = dict(merged_lora(encoder).body.named_parameters())
    for name, weight in plain.body.named_parameters():
        part = name.removesuffix(".weight")
        if f"{part}.lora_A.default.weight" not in weights:
            continue
        low, high = (weights[f"{part}.lora_{side}.default.weight"] for side in "AB")
        expected = weight + 0.5 * high @ low
        torch.testing.assert_close(merged[name], expected)


def test_merging_changes_nothing_but_the_cost(source):
    encoder = trained(with_lora(source.load(), rank=3))
    expected = embed_texts(encoder, TEXTS)
    plain = embed_texts(source.load(), TEXTS)
    assert np.abs(expected - plain).max() > 0.01
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    merged = merged_lora(encoder)
    np.testing.assert_allclose(embed_texts(merged, TEXTS), expected, atol=1e-5)
    assert {type(m) for m in merged.modules()} == {type(m) for m in source.load().modules()}
    # The net that was trained is as it was, bit for bit, and its embeddings are shared.
    np.testing.assert_array_equal(embed_texts(encoder, TEXTS), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    words = "body.embeddings.word_embeddings.weight"
    assert merged.get_parameter(words) is encoder.get_parameter(words)


def test_adapters_are_all_that_a_file_needs(source):
    encoder = trained(with_lora(source.load(), rank=3, seed=1))
    kept = {n: t for n, t in encoder.state_dict().items() if "lora_" in n}
    expected = embed_texts(merged_lora(encoder), TEXTS)
    again = with_lora(source.load(), rank=3, seed=2)
    again.load_state_dict({**again.state_dict(), **pickle.loads(pickle.dumps(kept))})
    np.testing.assert_allclose(embed_texts(again, TEXTS), expected, atol=1e-5)
    assert sum(t.numel() for t in kept.values()) < sum(p.numel() for p in encoder.parameters()) / 2


def test_a_seed_is_a_seed_and_nobody_elses(source):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (with_lora(source.load(), seed=seed) for seed in (1, 1, 2))
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    name = next(name for name in one.state_dict() if "lora_A" in name)
    assert torch.equal(one.state_dict()[name], same.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_what_does_not_fit_is_told(source, monkeypatch):
    with pytest.raises(ValueError, match="rank must be an integer greater than 0"):
        with_lora(source.load(), rank=0)
    encoder = source.load()
    encoder.body = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="A Linear has no linear layers for adapters"):
        with_lora(encoder)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"pip install 'mlfund\[lora\]'"):
        with_lora(source.load())
