"""ZeroShotImageClassifier: classes of images by what is written about them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from mlfund._version_stamp import VersionStamped
from mlfund.backbones._image_text import ImageTextBackbone
from mlfund.estimators._neural_labels import refuse_missing
from mlfund.preprocessing._embedding import embed

TEMPLATES = ("a photo of a {}.",)
# What a fit sets.
FITTED = ("classes_", "captions_", "backbone_", "text_embeddings_", "scale_")
# Labels of y that a message names.
SHOWN = 3


class ZeroShotImageClassifier(VersionStamped, ClassifierMixin, BaseEstimator):
    """Classify images by words: no labelled image is needed.

    A model of the CLIP family was trained to give an image and its caption embeddings of the same
    direction. Captions of each class are embedded once, by `fit`; the class whose captions are
    closest to an image is predicted.

    Parameters
    ----------
    backbone : str, path or ImageTextBackbone
        Folder of a CLIP or SigLIP model as transformers writes it, with config.json, weights,
        preprocessor_config.json and tokenizer. It is never downloaded.
    classes : sequence, mapping or None, default=None
        Names of the classes, which go into `templates`; or a mapping of each class to a caption or
        several, which are taken as they are. None takes the names that `fit` finds in `y`.
    templates : sequence of str, default=("a photo of a {}.",)
        Captions with {} in place of the name of a class, in which underscores become blanks. The
        embedding of a class is the mean direction of all of its captions: several usually do
        better than one.
    channels : {"last", "first"}, default="last"
        Which end of an array's shape counts the channels.
    cache : EmbeddingCache, str, path, bool or None, default=None
        Where the embeddings of images are kept: None and True take the folder of
        `EmbeddingCache`'s default, a path another one, False none.
    device : str, torch.device or None, default=None
        Where images are embedded; None is the CPU.
    batch_size : int or None, default=None
        Images of a batch; None is 32 on a CPU and 256 elsewhere.
    n_jobs : int or None, default=None
        Threads that read images; None takes as many as torch computes with, -1 one a core.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    captions_ : list of list of str
        What each class was described by, in the order of `classes_`.
    text_embeddings_ : ndarray of float32 and shape (n_classes, n_features)
        Of length one each.
    scale_ : float
        What cosines are multiplied by before the softmax: the inverse of the temperature that the
        model was trained to.
    backbone_ : ImageTextBackbone
        Where the model lies; pickles hold no weights, and refuse others than those of `fit`.

    See Also
    --------
    ImageTransferClassifier : Learns from labelled images; better as soon as there are some.

    Notes
    -----
    Probabilities are the softmax of the scaled cosines over the classes that were given, which are
    taken to be all there are. SigLIP was trained to judge each caption by itself; its scores are
    put through the same softmax. They are no calibrated probabilities.

    Images are resized to the square that the model takes; the models' own processors cut off what
    goes beyond a square in the middle.

    References
    ----------
    A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
    ICML 2021.

    X. Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023.

    Examples
    --------
    >>> from mlfund import ZeroShotImageClassifier
    >>> flowers = ZeroShotImageClassifier("models/clip-vit-base-patch32", ["daisy", "rose"])
    >>> flowers.fit()
    Traceback (most recent call last):
        ...
    FileNotFoundError: models/clip-vit-base-patch32 is no folder of a model: ...
    """

    def __init__(
        self,
        backbone: str | os.PathLike[str] | ImageTextBackbone,
        classes: Sequence[Any] | Mapping[Any, str | Sequence[str]] | None = None,
        *,
        templates: Sequence[str] = TEMPLATES,
        channels: str = "last",
        cache: Any = None,
        device: Any = None,
        batch_size: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.backbone = backbone
        self.classes = classes
        self.templates = templates
        self.channels = channels
        self.cache = cache
        self.device = device
        self.batch_size = batch_size
        self.n_jobs = n_jobs

    def fit(self, X: Any = None, y: Any = None) -> ZeroShotImageClassifier:
        """Embed the captions of the classes; nothing is learned from images.

        Parameters
        ----------
        X : object
            Ignored, but for having a row for each label.
        y : array-like of shape (n,), optional
            Labels. Without `classes` they name the classes; with it they are only checked to be
            among them.

        Returns
        -------
        self : ZeroShotImageClassifier

        Raises
        ------
        ValueError
            If there are fewer than two classes or they are of several types, captions are
            missing or too long, or `y` has labels that are missing or no classes.
        FileNotFoundError
            If the model is not there.
        ImportError
            If transformers is not installed.
        """
        self._forget()
        _check_lengths(X, y)
        given = _captions(self.classes, self.templates, y)
        labels = np.asarray(list(given))
        order = np.argsort(labels)
        classes, captions = labels[order], [list(given.values())[place] for place in order]
        _check_labels(y, classes)
        source = _source(self.backbone)
        flat = [caption for some in captions for caption in some]
        found, scale = source.embed_prompts(flat)
        ends = np.cumsum([len(some) for some in captions])[:-1]
        means = np.stack([part.mean(axis=0) for part in np.split(found, ends)])
        # A fit that fails sets nothing, lest classes of one be predicted by captions of another.
        self.classes_, self.captions_, self.backbone_ = classes, captions, source
        self.text_embeddings_, self.scale_ = _directions(means), scale
        return self

    def _forget(self) -> None:
        """Remove what a former fit set."""
        for name in FITTED:
            self.__dict__.pop(name, None)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each image.

        Parameters
        ----------
        X : array-like of n images
            Arrays (n, height, width[, channels]), or a list, Series or one-column DataFrame of
            arrays of any size, paths, encoded files or images of Pillow.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)

        Raises
        ------
        ValueError
            If X are no images, or one of them cannot be read, which is named.
        """
        check_is_fitted(self)
        embeddings = embed(
            self.backbone_,
            X,
            cache=self.cache,
            device=self.device,
            batch_size=self.batch_size,
            n_jobs=self.n_jobs,
            channels=self.channels,
        )
        cosines = _directions(embeddings).astype(np.float64) @ self.text_embeddings_.T
        return np.asarray(softmax(self.scale_ * cosines, axis=1))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`.

        Parameters
        ----------
        X : array-like of n images
            See `predict_proba`.

        Returns
        -------
        log_proba : ndarray of shape (n, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each image.

        Parameters
        ----------
        X : array-like of n images
            See `predict_proba`.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def __sklearn_tags__(self) -> Tags:
        """Return that X are images, and that no training row is needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.target_tags.required = False
        return tags


def _captions(classes: Any, templates: Sequence[str], y: Any) -> dict[Any, list[str]]:
    """Return the captions of each class."""
    if isinstance(classes, Mapping):
        _check_names(list(classes))
        captions = {label: _listed(given) for label, given in classes.items()}
    else:
        names = _names(classes, y)
        captions = {name: _filled(name, templates) for name in names}
    for label, some in captions.items():
        if not some or not all(isinstance(one, str) and one.strip() for one in some):
            raise ValueError(f"classes has no caption for {label!r}, {some!r}; give it a text.")
    if len(captions) < 2:
        raise ValueError(
            f"classes has {len(captions)} class ({', '.join(map(repr, captions))}), and two are "
            "needed to choose from."
        )
    return captions


def _names(classes: Any, y: Any) -> list[Any]:
    if classes is None and y is None:
        raise ValueError(
            "There is nothing to choose from: give classes=[...], or labels to fit, fit(X, y)."
        )
    if isinstance(classes, str):
        raise ValueError(f"classes={classes!r} is one text; give a list of names.")
    if classes is not None and not isinstance(classes, Iterable):
        raise ValueError(f"classes={classes!r} is no list of names; give one, or a mapping.")
    names = _labels(y) if classes is None else list(classes)
    _check_names(names)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"classes has {next(iter(twice))!r} more than once; name each once.")
    return names


def _check_names(names: list[Any]) -> None:
    """Refuse names of which an array would make others, or that cannot be sorted."""
    wrong = [name for name in names if _is_several(name) or isinstance(name, bytes)]
    if wrong:
        raise ValueError(
            f"classes has the name {wrong[0]!r}, a {type(wrong[0]).__name__}; give each class "
            "a text or a number as its name."
        )
    if any(_missing(name) for name in names):
        raise ValueError("classes has None or NaN, which names no class; leave it out.")
    kinds = {_kind(name) for name in names}
    if len(kinds) > 1:
        raise ValueError(
            f"classes has names of several types ({', '.join(sorted(kinds))}); give all as "
            "strings, or all as numbers."
        )


def _listed(given: Any) -> list[Any]:
    """Return captions or templates as a list, of which something else is the one member."""
    return list(given) if _is_several(given) else [given]


def _is_several(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str | bytes)


def _kind(name: Any) -> str:
    if isinstance(name, str | Number):
        return "strings" if isinstance(name, str) else "numbers"
    return type(name).__name__


def _labels(y: Any) -> list[Any]:
    """Return the labels that y has, each once, as they are and not as an array makes them."""
    refuse_missing(y)
    given = np.atleast_1d(np.asarray(y, dtype=object))
    several = [row for row in given.tolist() if _is_several(row) and len(row) != 1]
    if several:
        raise ValueError(f"y has several labels for an image, {several[0]!r}; give one for each.")
    return list(dict.fromkeys(given.ravel().tolist()))


def _missing(label: Any) -> bool:
    return np.ndim(label) == 0 and bool(pd.isna(label))


def _check_lengths(X: Any, y: Any) -> None:
    if y is None or not (hasattr(X, "__len__") and hasattr(y, "__len__")):
        return
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} rows and y has {len(y)}; give a label for each image.")


def _filled(name: Any, templates: Sequence[str]) -> list[str]:
    given = _listed(templates)
    wrong = [one for one in given if not isinstance(one, str) or "{}" not in one]
    if wrong or not given:
        said = repr(wrong[0]) if wrong else "nothing"
        raise ValueError(
            f"templates has {said}; each is a text with {{}} where the name of a class goes."
        )
    return [one.replace("{}", str(name).replace("_", " ")) for one in given]


def _check_labels(y: Any, classes: np.ndarray) -> None:
    if y is None:
        return
    others = sorted(set(_labels(y)) - set(classes.tolist()), key=str)
    if others:
        shown = ", ".join(map(repr, others[:SHOWN])) + (", ..." if len(others) > SHOWN else "")
        raise ValueError(f"y has labels that are not among classes: {shown}; add them to classes.")


def _source(backbone: Any) -> ImageTextBackbone:
    if isinstance(backbone, ImageTextBackbone):
        return backbone
    if isinstance(backbone, str | os.PathLike):
        return ImageTextBackbone(os.fspath(backbone))
    raise ValueError(
        f"backbone must be the folder of a model of images and texts, or an ImageTextBackbone; "
        f"got {backbone!r}."
    )


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(vectors.dtype).tiny)
