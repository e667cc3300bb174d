"""A transformer with its tokenizer, from texts to embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlfund._check import stacklevel_outside
from mlfund.backbones._encoder import TextEncoder
from mlfund.backbones._groups import LooseTensors, layer_groups

# Fills up rows where the tokenizer has nothing to fill up with: every token may be in a text.
NO_TOKEN = -1


class TransformerEncoder(TextEncoder):
    """A transformer of Hugging Face, pooling, and what follows it.

    Parameters
    ----------
    body : Module
        From tokens and their mask to an object with `last_hidden_state`, (n, length, d), or
        with `pooler_output` (n, d) where `pooling` is None.
    pooling : Module or None
        From states and mask to (n, n_pooled).
    after : Module
        From (n, n_pooled) to embeddings.
    tokenizer : PreTrainedTokenizerFast
    n_features : int
    max_length : int
        Most tokens of a text.
    n_layers : int, default=1
        Topmost layers whose states are pooled. Vectors of several are brought to the same
        length and stand side by side, (n, n_layers * d).
    prompt : str, default=""
        What stands in front of each text.
    lower_case : bool, default=False
        Whether texts are turned to lower case first.
    """

    def __init__(
        self,
        body: nn.Module,
        pooling: nn.Module | None,
        after: nn.Module,
        tokenizer: Any,
        *,
        n_features: int,
        max_length: int,
        n_layers: int = 1,
        prompt: str = "",
        lower_case: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.pooling = pooling
        self.after = after
        self.tokenizer = tokenizer
        self.n_features = n_features
        self.max_length = max_length
        self.n_layers = n_layers
        self.prompt = prompt
        self.lower_case = lower_case
        own = tokenizer.pad_token_id
        self.pad_id = NO_TOKEN if own is None else int(own)

    def groups(self) -> list[nn.Module]:
        """Return embeddings, each layer, and what follows where it has weights."""
        return _groups(self.body, self.after)

    def layers(self) -> list[nn.Module]:
        """Return the layers alone; none where the model has no list of them."""
        stack = _stack(self.body)
        return [] if stack is None else list(stack)

    def tokenise(self, texts: Sequence[str]) -> np.ndarray:
        """Return tokens, int32 of shape (n, longest), filled up with `pad_id`.

        A warning tells of texts that were cut at `max_length` tokens.
        """
        tokenizer = self.tokenizer.backend_tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_length)
        encoded = tokenizer.encode_batch_fast([self._prepared(text) for text in texts])
        # A text without any known character may have no token at all.
        ids = [one.ids or [self.pad_id] for one in encoded]
        lengths = np.fromiter(map(len, ids), dtype=np.intp, count=len(ids))
        if any(one.overflowing for one in encoded if len(one.ids) == self.max_length):
            warnings.warn(
                f"Some texts have more than the {self.max_length} tokens that the backbone "
                "reads; what follows them is left out.",
                stacklevel=stacklevel_outside(),
            )
        tokens = np.full((len(ids), lengths.max(initial=1)), self.pad_id, dtype=np.int32)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.fromiter(
            chain.from_iterable(ids), dtype=np.int32, count=int(lengths.sum())
        )
        return tokens

    def _prepared(self, text: str) -> str:
        text = self.prompt + text
        # Half of a surrogate pair has no UTF-8, which is what tokenizers read.
        text = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        return text.lower() if self.lower_case else text

    def forward(self, X: Tensor) -> Tensor:
        """Return embeddings (n, n_features) of tokens (n, length) of any integer type.

        Columns that only fill up are cut off.
        """
        mask = _counted(X, self.pad_id)
        if not (X.is_cuda and torch.cuda.is_current_stream_capturing()):
            longest = int(mask.sum(1).max())
            X, mask = X[:, :longest], mask[:, :longest]
        # `NO_TOKEN` has no embedding; that of any token will do, for no mask counts it.
        embeddings: Tensor = self.after(self._pooled(X.long().clamp(min=0), mask))
        return embeddings.float()

    def _pooled(self, tokens: Tensor, mask: Tensor) -> Tensor:
        several = {"output_hidden_states": True} if self.n_layers > 1 else {}
        found = self.body(input_ids=tokens, attention_mask=mask.long(), **several)
        if self.pooling is None:
            pooled: Tensor = found.pooler_output
        elif self.n_layers == 1:
            pooled = self.pooling(found.last_hidden_state, mask)
        else:
            # States of lower layers are longer or shorter as a whole, which says nothing.
            parts = [self.pooling(s, mask) for s in found.hidden_states[-self.n_layers :]]
            pooled = torch.cat([nn.functional.normalize(part, dim=1) for part in parts], dim=1)
            pooled = pooled / self.n_layers**0.5
        return pooled


def _counted(tokens: Tensor, pad_id: int) -> Tensor:
    """Return which tokens count: the first one, and all up to the last one that is not `pad_id`.

    A text that spells out the token that fills up has it among its others.
    """
    counted = tokens != pad_id
    counted = counted.flip(1).long().cumsum(1).flip(1) > 0
    counted[:, :1] = True
    return counted


def _groups(body: nn.Module, after: nn.Module) -> list[nn.Module]:
    """Return the layers of a transformer, what comes before them, and what comes after."""
    stack = _stack(body)
    if stack is None:
        return [*layer_groups(body), *([after] if _has_tensors(after) else [])]
    before, behind = nn.ModuleList(), nn.ModuleList()
    for part, is_behind in _around(body, stack):
        # Positions relative to each other are embedded once for all layers.
        embeds = any(isinstance(module, nn.Embedding) for module in part.modules())
        (behind if is_behind and not embeds else before).append(part)
    if _has_tensors(after):
        behind.append(after)
    return [part for part in (before, *stack, behind) if _has_tensors(part)]


def _stack(body: nn.Module) -> nn.ModuleList | None:
    """Return the list of layers: of the outermost lists, the one with most parameters."""
    lists = [module for module in body.modules() if isinstance(module, nn.ModuleList)]
    sizes = [sum(p.numel() for p in module.parameters()) for module in lists]
    # Lists come before those within them, and `max` takes the first of equal ones.
    return lists[int(np.argmax(sizes))] if lists and max(sizes) > 0 else None


def _around(module: nn.Module, stack: nn.Module) -> Iterator[tuple[nn.Module, bool]]:
    """Yield the parts that are not in `stack`, and whether they come behind it."""
    loose = LooseTensors(module)
    if _has_tensors(loose):
        yield loose, False
    passed = False
    for child in module.children():
        if child is stack:
            passed = True
        elif any(inner is stack for inner in child.modules()):
            yield from _around(child, stack)
            passed = True
        else:
            # What has no tensors acts on embeddings, wherever it is registered: T5's dropout
            # comes last, and would go on below layers that are frozen.
            yield child, passed and _has_tensors(child)


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in chain(module.parameters(), module.buffers()))
