"""Embeddings of many texts: equal ones once, in batches of texts of about equal length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from mlfund._check import check_positive
from mlfund.backbones._encoder import TextEncoder

# Tokens of a batch, filling included. On a CPU, few enough for the activations of a layer to
# stay in its caches; on an accelerator, enough to keep it busy.
CPU_TOKENS = 1024
ACCELERATOR_TOKENS = 65536
# Texts that are tokenised together: a block is one array, as wide as its longest text.
BLOCK = 8192


def embed_texts(
    encoder: TextEncoder, texts: Sequence[str], *, batch_size: int | None = None
) -> np.ndarray:
    """Return embeddings of texts, in their order.

    A text is embedded once however often it occurs, together with texts of about its own
    length: what others are in `texts` changes its embedding by rounding only.

    Parameters
    ----------
    encoder : TextEncoder
        It computes where its weights are, in the mode it is in, without gradients.
    texts : sequence of str
        n texts.
    batch_size : int or None, default=None
        Most texts of a batch. None limits tokens only: 1,024 on a CPU, 65,536 elsewhere.

    Returns
    -------
    embeddings : ndarray of shape (n, n_features), float32

    Examples
    --------
    >>> from mlfund.backbones import get_backbone, shared_encoder
    >>> from mlfund.backbones._text_batches import embed_texts
    >>> encoder = shared_encoder(get_backbone("all-MiniLM-L6-v2", "text"))
    >>> embed_texts(encoder, ["A gem.", "Much too long.", "A gem."]).shape
    (3, 384)
    """
    if batch_size is not None:
        check_positive("batch_size", batch_size, integer=True)
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    # Characters tell the number of tokens well enough to make blocks. The longest come first:
    # where memory is short, that shows at once.
    distinct = sorted(place, key=len, reverse=True)
    embedded = np.empty((len(distinct), encoder.n_features), dtype=np.float32)
    for start in range(0, len(distinct), BLOCK):
        block = distinct[start : start + BLOCK]
        rows = np.fromiter((place[text] for text in block), dtype=np.intp, count=len(block))
        embedded[rows] = _embed_block(encoder, block, batch_size)
    if len(distinct) == len(texts):
        return embedded
    return embedded[[place[text] for text in texts]]


@torch.inference_mode()
def _embed_block(encoder: TextEncoder, texts: list[str], batch_size: int | None) -> np.ndarray:
    tokens = encoder.tokenise(texts)
    device = next(encoder.parameters()).device
    most_tokens = CPU_TOKENS if device.type == "cpu" else ACCELERATOR_TOKENS
    found = np.empty((len(texts), encoder.n_features), dtype=np.float32)
    for rows, part in token_batches(tokens, encoder.pad_id, most_tokens, batch_size):
        found[rows] = encoder(torch.from_numpy(part).to(device)).float().cpu().numpy()
    return found


def token_batches(
    tokens: np.ndarray, pad_id: int, most_tokens: int, batch_size: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield which rows a batch has and their tokens, texts of about equal length together.

    Parameters
    ----------
    tokens : ndarray of shape (n, length)
        Filled up with `pad_id`.
    pad_id : int
    most_tokens : int
        Tokens of a batch, filling included, unless it is a single row.
    batch_size : int, optional
        Most rows of a batch.

    Yields
    ------
    rows : ndarray of shape (k,)
        The batch with the longest texts comes first.
    part : ndarray of shape (k, longest)
        Tokens of these rows, as wide as the longest of them.
    """
    lengths = _lengths(tokens, pad_id)
    for rows in _batches(lengths, most_tokens, batch_size):
        yield rows, tokens[rows, : lengths[rows[0]]]


def _lengths(tokens: np.ndarray, pad_id: int) -> np.ndarray:
    """Return the tokens of each row up to its last one that is none to fill up."""
    counted = tokens != pad_id
    return tokens.shape[1] - np.argmax(counted[:, ::-1], axis=1)


def _batches(lengths: np.ndarray, most_tokens: int, batch_size: int | None) -> Iterator[np.ndarray]:
    """Yield rows of each batch, the longest first, within a batch too."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        n = max(1, most_tokens // int(lengths[order[start]]))
        n = n if batch_size is None else min(n, batch_size)
        yield order[start : start + n]
        start += n
