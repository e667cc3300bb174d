"""Claim: texts are embedded faster than by a loop over sentence-transformers' `encode`.

Embeddings of film-review sentences (SST-2) and short messages (SMS spam) by all-MiniLM-L6-v2,
in float32, by

- mlfund: batches of texts of about equal length and a fixed number of tokens;
- encode: one call of sentence-transformers' `encode` with all texts, which sorts them too;
- loop: `encode` on 32 texts after the other, in the order given;
- one by one: `encode` on each text.

Interleaved; that embeddings are equal is checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._harness import Unavailable, installed, interleave, report_table
from benchmarks.transfer_text.cells import load

N_TEXTS = 640
N_ONE_BY_ONE = 64
BATCH = 32
REPEATS = 5


def run(quick: bool = False) -> dict[str, Any]:
    """Time all ways; seconds are of the same number of texts, one by one scaled up to it."""
    if not installed("sentence_transformers"):
        raise Unavailable("sentence-transformers is the competitor and is not installed")
    from mlfund.backbones import get_backbone, shared_encoder
    from mlfund.backbones._model_files import PACKAGED, model_folder
    from mlfund.backbones._text_batches import embed_texts

    name = next(iter(PACKAGED))
    import torch
    from sentence_transformers import SentenceTransformer

    ours = shared_encoder(get_backbone(name))
    theirs = SentenceTransformer(str(model_folder(name, download=False)), device="cpu")
    found = {}
    for data in ("sst2", "sms_spam"):
        texts = load(data).train[: 64 if quick else N_TEXTS]
        ways = {
            "mlfund": lambda texts=texts: embed_texts(ours, texts),
            "encode": lambda texts=texts: theirs.encode(texts),
            "loop": lambda texts=texts: _looped(theirs, texts),
        }
        apart = float(np.abs(ways["mlfund"]() - ways["encode"]()).max())
        seconds = interleave(ways, 1 if quick else REPEATS, warmup=0 if quick else 1)
        few = texts[:8] if quick else texts[:N_ONE_BY_ONE]
        single = interleave(
            {"one by one": lambda few=few: [theirs.encode(text) for text in few]},
            1 if quick else REPEATS,
        )
        scale = len(texts) / len(few)
        seconds["one by one"] = [scale * value for value in single["one by one"]]
        found[data] = {"n_texts": len(texts), "largest_difference": apart, "seconds": seconds}
    threads = torch.get_num_threads()
    return {"repeats": 1 if quick else REPEATS, "threads": threads, "data": found}


def _looped(model: Any, texts: list[str]) -> np.ndarray:
    batches = [model.encode(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
    return np.concatenate(batches)


def report(result: dict[str, Any]) -> str:
    """Return a table for each data set."""
    return "\n\n".join(
        f"{name}: {one['n_texts']} texts, {result['threads']} threads, embeddings differ by "
        f"{one['largest_difference']:.1e} at most\n\n" + report_table(one["seconds"])
        for name, one in result["data"].items()
    )
