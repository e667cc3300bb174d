"""Embeddings of images and texts by frozen backbones: found in a cache, or computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from mlfund._check import check_positive, resolve_device
from mlfund._progress_line import ProgressLine
from mlfund.backbones import BackboneSource, Encoder, ImageEncoder, TextEncoder, shared_encoder
from mlfund.backbones._cache import get_store
from mlfund.backbones._cache_store import Space
from mlfund.backbones._names import LIBRARIES
from mlfund.backbones._text_batches import embed_texts
from mlfund.preprocessing._image_files import image_sides
from mlfund.preprocessing.image_inputs import READING_VERSION, GivenImages, given_images
from mlfund.preprocessing.text_inputs import text_keys, text_rows

# Images of a batch on a CPU and elsewhere. Batches of a block are decoded together.
CPU_BATCH, ACCELERATOR_BATCH, BLOCK_BATCHES = 32, 256, 4
# Texts that are embedded between two looks at what others have done; sorted by length.
TEXT_BLOCK = 1024

# Length of embeddings by fingerprint of the backbone: what the cache holds needs no backbone.
_widths: dict[str, int] = {}
# They share the layers of the shared encoder, and go with it.
_of_other_sizes: WeakKeyDictionary[ImageEncoder, dict[tuple[int, int], ImageEncoder]] = (
    WeakKeyDictionary()
)


def embed(
    source: BackboneSource,
    X: Any,
    *,
    cache: Any = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    image_size: int | Sequence[int] | None = None,
    mirrored: bool = False,
    zoom: float = 1.0,
    n_jobs: int | None = None,
    verbose: int = 0,
    channels: str = "last",
    image_shape: Any = None,
) -> np.ndarray:
    """Return the embeddings of images or texts; each distinct row is computed once.

    Parameters
    ----------
    source : BackboneSource
        As `get_backbone` returns it.
    X : array-like of n rows
        Images as `given_images` takes them, or what it returned; texts as `text_rows` takes them.
    cache : EmbeddingCache, str, path, bool or None, default=None
        Where embeddings are kept: None and True take the folder of `EmbeddingCache`'s default,
        a path another one, False none.
    device : str, torch.device or None, default=None
        Where missing rows are computed; None is the CPU.
    batch_size : int or None, default=None
        Rows of a batch. None is 32 images on a CPU and 256 elsewhere; batches of texts then
        have a limited number of tokens.
    image_size : int, (int, int) or None, default=None
        Height and width that images are resized to; None takes the backbone's own.
    mirrored : bool, default=False
        Whether the images are mirrored, left to right.
    zoom : float, default=1.0
        Share of the sides of an image that is seen, around its middle, in (0, 1].
    n_jobs : int or None, default=None
        Threads that read images; None takes as many as torch computes with, -1 one a core.
    verbose : int, default=0
        1 tells how far a long computation is.
    channels, image_shape
        Of images in arrays; see `given_images`.

    Returns
    -------
    embeddings : ndarray of shape (n, n_features), float32

    Raises
    ------
    ImportError, FileNotFoundError
        If weights, or a package that reads them, are not there.
    ValueError
        If X holds no images or no texts, a parameter is out of its range, or the weights are
        not those of a pickled source.

    Notes
    -----
    Which rows share a batch changes an embedding by rounding only.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.backbones import get_backbone
    >>> from mlfund.preprocessing._embedding import embed
    >>> source = get_backbone("efficientnet_lite0")
    >>> images = np.zeros((3, 40, 30, 3), dtype=np.uint8)
    >>> embed(source, images, image_size=64, cache=False).shape
    (3, 1280)
    """
    if batch_size is not None:
        check_positive("batch_size", batch_size, integer=True)
    source.check()
    given = read_rows(source, X, channels=channels, image_shape=image_shape)
    common = source, resolve_device(device), batch_size
    rows: _Images | _Texts
    if isinstance(given, GivenImages):
        size = None if image_size is None else image_sides(image_size, "image_size")
        rows = _Images(*common, given, size, mirrored, zoom, n_jobs)
    else:
        rows = _Texts(*common, given)
    line = ProgressLine(verbose)

    def report(done: int, total: int) -> None:
        text = f"{done}/{total} rows embedded  {line.seconds:.1f} s"
        if done < total:
            line.tell(lambda: text)
        else:
            line.end(text)

    store = get_store(cache)
    found = store.get_or_compute(rows.space, rows.keys(), rows.compute, rows.block_rows, report)
    _widths[source.fingerprint] = found.shape[1]
    return found


def read_rows(
    source: BackboneSource, X: Any, *, channels: str = "last", image_shape: Any = None
) -> GivenImages | list[str]:
    """Return the images or texts in X, checked, as the backbone's kind says; see `embed`."""
    if source.kind == "text":
        return text_rows(X)
    if isinstance(X, GivenImages):
        return X
    return given_images(X, channels=channels, image_shape=image_shape)


def embedding_width(source: BackboneSource) -> int:
    """Return the length of the embeddings of a backbone, which may have to be loaded."""
    source.check()
    width = _widths.get(source.fingerprint)
    return shared_encoder(source).n_features if width is None else width


def name_of(source: BackboneSource) -> str:
    """Return what users give as `backbone` for a source, or else the name of its class."""
    # With or without its weights in it, a source has the same embeddings.
    source = getattr(source, "origin", source)
    name = str(getattr(source, "name", type(source).__name__))
    library = next((library for library, of in LIBRARIES.items() if type(source) is of), None)
    return name if library is None else f"{library}:{name}"


@dataclass(frozen=True)
class _Rows:
    """Rows for a frozen backbone.

    Attributes
    ----------
    source : BackboneSource
    device : torch.device
        Where it computes.
    batch_size : int or None
    """

    source: BackboneSource
    device: torch.device
    batch_size: int | None

    def _space(self, *reading: str) -> Space:
        return Space(name_of(self.source), self.source.fingerprint, reading)

    @cached_property
    def _encoder(self) -> Encoder:
        # Loaded when a row is missing, and not before.
        return shared_encoder(self.source, self.device)


@dataclass(frozen=True)
class _Images(_Rows):
    """Images, read a block at a time."""

    images: GivenImages
    size: tuple[int, int] | None
    mirrored: bool
    zoom: float
    n_jobs: int | None

    @property
    def space(self) -> Space:
        size = "own size" if self.size is None else "{} x {}".format(*self.size)
        mirrored = ["mirrored"] if self.mirrored else []
        zoomed = [f"zoom {self.zoom}"] if self.zoom != 1 else []
        return self._space(size, *mirrored, *zoomed, f"images read as in version {READING_VERSION}")

    @property
    def block_rows(self) -> int:
        return BLOCK_BATCHES * self._batch_rows

    @property
    def _batch_rows(self) -> int:
        usual = CPU_BATCH if self.device.type == "cpu" else ACCELERATOR_BATCH
        return self.batch_size or usual

    def keys(self) -> list[bytes]:
        return self.images.keys(n_jobs=self.n_jobs)

    @torch.inference_mode()
    def compute(self, places: list[int]) -> np.ndarray:
        encoder = self._encoder
        assert isinstance(encoder, ImageEncoder)
        encoder = encoder if self.size is None else _sized(encoder, self.size)
        height, width, channels = encoder.pixels.size
        # Zoomed, an image is read larger, and its middle is cut out.
        high, wide = round(height / self.zoom), round(width / self.zoom)
        rows = self.images.rows(
            (high, wide), interpolation=encoder.interpolation, n_jobs=self.n_jobs, places=places
        )
        if self.mirrored or self.zoom != 1:
            top, left = (high - height) // 2, (wide - width) // 2
            images = rows.reshape(len(rows), high, wide, channels)
            images = images[:, top : top + height, left : left + width]
            images = images[:, :, ::-1] if self.mirrored else images
            rows = np.ascontiguousarray(images).reshape(len(rows), -1)
        batches = torch.from_numpy(rows).split(self._batch_rows)
        return torch.cat([encoder(batch.to(self.device)).cpu() for batch in batches]).numpy()


def _sized(encoder: ImageEncoder, size: tuple[int, int]) -> ImageEncoder:
    """Return the encoder for images of a size, which is tried out once only."""
    others = _of_other_sizes.setdefault(encoder, {})
    if size not in others:
        others[size] = encoder.with_size(*size)
    return others[size]


@dataclass(frozen=True)
class _Texts(_Rows):
    """Texts."""

    texts: list[str]

    # A block is sorted by length and cut into batches.
    block_rows: ClassVar[int] = TEXT_BLOCK

    @property
    def space(self) -> Space:
        return self._space()

    def keys(self) -> list[bytes]:
        return text_keys(self.texts)

    def compute(self, places: list[int]) -> np.ndarray:
        encoder = self._encoder
        assert isinstance(encoder, TextEncoder)
        texts = [self.texts[place] for place in places]
        return embed_texts(encoder, texts, batch_size=self.batch_size)
