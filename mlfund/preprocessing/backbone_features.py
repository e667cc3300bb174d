"""BackboneFeatures: embeddings of images or texts by a frozen backbone, as features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, validate_data

from mlfund._version_stamp import VersionStamped
from mlfund.backbones import BackboneSource, get_backbone
from mlfund.preprocessing._embedding import embed, embedding_width, read_rows


class BackboneFeatures(VersionStamped, TransformerMixin, BaseEstimator):
    """Turn images or texts into the embeddings of a pretrained backbone.

    Nothing is learned from the rows: each becomes what the frozen backbone makes of it, alone as
    among others. An embedding is computed once and found again in an `EmbeddingCache`, so that
    folds and candidates of a search, and further processes, share it.

    Parameters
    ----------
    backbone : str, path, Backbone, torch.nn.Module or BackboneSource, default="efficientnet_lite0"
        "efficientnet_lite0" for images, "all-MiniLM-L6-v2" for texts, both from packages of
        weights; "timm:NAME" or "torchvision:NAME"; the folder of a text model of Hugging Face;
        what `export_backbone` of an encoder returned; a module of your own. It tells whether X
        holds images or texts.
    image_size : int, (int, int) or None, default=None
        Height and width that images are resized to; None takes those of the backbone. Larger
        ones show more and cost more: twice the sides take four times as long.
    channels : {"last", "first"}, default="last"
        Which end of an image's shape counts the channels, of arrays.
    cache : EmbeddingCache, str, path, bool or None, default=None
        Where embeddings are kept: None takes the folder for caches of this user, a path another
        one, False none.
    device : {"cpu", "cuda", "cuda:N", "mps", "auto"} or None, default=None
        Where the backbone computes; None is the CPU.
    batch_size : int or None, default=None
        Rows of a batch; None is 32 images on a CPU, 256 elsewhere, and a number of texts with a
        limited number of tokens.
    download : bool, default=False
        Whether weights that are not on this machine may be downloaded.
    n_jobs : int or None, default=None
        Threads that read images; None takes as many as torch computes with, -1 one a core.
    verbose : int, default=0
        1 tells how far a long computation is.

    Attributes
    ----------
    backbone_ : BackboneSource
        Where the weights come from, and their fingerprint. Pickles hold these and no weights.
    n_features_in_ : int
        1 for a column of paths, images or texts; values of an image for an array of images.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, if X had one.

    Raises
    ------
    ImportError, FileNotFoundError
        If weights, or a package that reads them, are not there.
    ValueError
        If a parameter is out of its range, a row is missing, empty or cannot be read, or a saved
        transformer meets other weights than it was saved with.

    See Also
    --------
    EmbeddingCache : Where embeddings are kept, and how much of them.
    ImageTransferClassifier, TextTransferClassifier : They can train the backbone, too.

    Notes
    -----
    X is what `ImageTransferClassifier` or `TextTransferClassifier` takes: arrays of images, a
    list of them, of paths or of texts, a Series, or a DataFrame of one column.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from mlfund import BackboneFeatures, LogisticRegression
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    >>> model = make_pipeline(
    ...     BackboneFeatures(image_size=64, cache=False), LogisticRegression()
    ... )
    >>> model.fit(images, [0, 1] * 4).predict(images).shape
    (8,)
    """

    # The search may transform all rows at once, before they are split.
    transforms_row_by_row: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Any = "efficientnet_lite0",
        *,
        image_size: int | Sequence[int] | None = None,
        channels: str = "last",
        cache: Any = None,
        device: str | None = None,
        batch_size: int | None = None,
        download: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.image_size = image_size
        self.channels = channels
        self.cache = cache
        self.device = device
        self.batch_size = batch_size
        self.download = download
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> BackboneFeatures:
        """Check the backbone and X, and remember the name of its column.

        Parameters
        ----------
        X : array-like of n images or texts
        y : None
            Ignored.

        Returns
        -------
        self : BackboneFeatures
        """
        source = get_backbone(self.backbone, download=self.download)
        source.check()
        read_rows(source, X, channels=self.channels)
        self._note_column(X)
        self.backbone_ = source
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the embeddings of images or texts.

        Parameters
        ----------
        X : array-like of n images or texts

        Returns
        -------
        embeddings : ndarray of shape (n, n_features), float32
        """
        if hasattr(X, "columns"):
            validate_data(self, X, reset=False, skip_check_array=True)
        return embed(
            self._source,
            X,
            cache=self.cache,
            device=self.device,
            batch_size=self.batch_size,
            image_size=self.image_size,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            channels=self.channels,
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the features: that of the column, or else of the class, and a number.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Name of the column.

        Returns
        -------
        names : ndarray of str, shape (n_features,)
        """
        names = _check_feature_names_in(self, input_features, generate_names=False)
        prefix = type(self).__name__.lower() if names is None or len(names) != 1 else names[0]
        numbers = range(embedding_width(self._source))
        return np.asarray([f"{prefix}_{number}" for number in numbers], dtype=object)

    @property
    def _source(self) -> BackboneSource:
        fitted: BackboneSource | None = vars(self).get("backbone_")
        return get_backbone(self.backbone, download=self.download) if fitted is None else fitted

    def _note_column(self, X: Any) -> None:
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(X, "columns"):
            validate_data(self, X, reset=True, skip_check_array=True)
            return
        shape = np.shape(X) if hasattr(X, "shape") else (len(X),)
        self.n_features_in_ = int(np.prod(shape[1:]))
        # A ColumnTransformer hands on a Series for a column that is selected by its name.
        if isinstance(getattr(X, "name", None), str):
            self.feature_names_in_ = np.asarray([X.name], dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Say that X holds strings or images, and that nothing is learned."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.requires_fit = False
        return tags
