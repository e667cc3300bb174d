"""Tiny random models of images and texts, in folders as transformers writes them."""

import json
import string

SIDE, N_FEATURES, MOST_TOKENS = 16, 12, 40
SMALL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VISION = {**SMALL, "image_size": SIDE, "patch_size": 4}


def write_clip(folder, seed=0):
    """Write a CLIP model with random weights, its tokenizer of letters, and how pixels are read."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = _clip_tokenizer()
    text = {
        **SMALL,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MOST_TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=N_FEATURES)
    _write(folder, lambda: CLIPModel(config), tokenizer, seed)
    pixels = {
        "image_mean": [0.48, 0.46, 0.41],
        "image_std": [0.27, 0.26, 0.28],
        "rescale_factor": 1 / 255,
        "resample": 3,
        "size": {"shortest_edge": SIDE},
        "crop_size": {"height": SIDE, "width": SIDE},
        "image_processor_type": "CLIPImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


def write_siglip(folder, seed=0):
    """Write a SigLIP model likewise; its image settings stand in processor_config.json."""
    from transformers import SiglipConfig, SiglipModel

    tokenizer = _clip_tokenizer()
    text = {
        **SMALL,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MOST_TOKENS,
        "projection_size": SMALL["hidden_size"],
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = SiglipConfig(text_config=text, vision_config=VISION)
    _write(folder, lambda: SiglipModel(config), tokenizer, seed)
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": pixels}))
    return folder


def _clip_tokenizer():
    from transformers import CLIPTokenizer

    letters = [*string.ascii_lowercase, *string.digits, "."]
    tokens = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=MOST_TOKENS)


def _write(folder, build, tokenizer, seed):
    import torch
    from transformers.utils import logging

    folder.mkdir(parents=True, exist_ok=True)
    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build()
        # As they are initialised, embeddings of all inputs are nearly the same.
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
