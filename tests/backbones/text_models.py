"""Tiny text models with random weights, in the files of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = [
    "the",
    "a",
    "film",
    "question",
    "of",
    "in",
    "is",
    "and",
    "good",
    "bad",
    "long",
    "gem",
    "who",
    "when",
    "paris",
    "[",
    "]",
    "pad",
]
SPECIAL = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
TEXTS = [
    "the film is a gem",
    "bad",
    "who is in paris and when",
    "good good good good good good good good good long film",
    "a question of the film",
    "who who who",
]
SIZES = {
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}


def save_tokenizer(folder: Path, **options) -> None:
    """Write a tokenizer of `WORDS`, with the frame of BERT around a text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{**SPECIAL, **options}).save_pretrained(
        folder
    )


def save_bert(folder: Path, seed: int = 0, **options) -> Path:
    """Write a BERT of two layers."""
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(BertConfig(**{**SIZES, "pad_token_id": 0, **options}))
        # As initialised, weights are so small that all texts are nearly alike.
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def write_json(path: Path, content) -> None:
    """Write a file, and its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def offer_code(folder: Path, monkeypatch, **config) -> list[str]:
    """Make a folder one of a model with code of its own; return what will have been asked."""
    write_json(
        folder / "config.json",
        {
            "model_type": "own",
            "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"},
            **config,
        },
    )
    (folder / "own.py").write_text("raise SystemExit('code of a model was run')")
    asked: list[str] = []

    def answer(prompt: str = "") -> str:
        asked.append(prompt)
        return "n"

    monkeypatch.setattr("builtins.input", answer)
    return asked
