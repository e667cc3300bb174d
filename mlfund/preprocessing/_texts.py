"""Free text as a few numbers: TF-IDF of the words, then a truncated SVD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

MAX_WORDS = 5000


class TextBlock:
    """All text columns of a table, each with a vocabulary and components of its own.

    The components of a column share one scale, such that they have variance 1 on average: one
    factor keeps their order of importance, which scaling each by itself would lose.

    Attributes
    ----------
    vectorizers : list of TfidfVectorizer
        One per column that holds any word.
    components : list of ndarray of shape (n_words, n_components)
        The SVD's components with that scale in them.
    names : list of str
        Names of the outputs.
    sources : ndarray of int
        Which of the text columns each output comes from.
    """

    def __init__(
        self, cells: Sequence[list[str]], names: Sequence[str], n_components: int, seed: int
    ):
        self.vectorizers: list[TfidfVectorizer] = []
        self.components: list[np.ndarray] = []
        self.used: list[int] = []
        self.names: list[str] = []
        sources: list[int] = []
        for j, (texts, name) in enumerate(zip(cells, names, strict=True)):
            fitted = _fit_column(texts, n_components, seed)
            if fitted is None:
                continue
            self.vectorizers.append(fitted[0])
            self.components.append(fitted[1])
            self.used.append(j)
            width = fitted[1].shape[1]
            self.names += [f"{name}:topic{i}" for i in range(width)]
            sources += [j] * width
        self.sources = np.array(sources, dtype=np.intp)

    @property
    def n_outputs(self) -> int:
        """Number of output columns."""
        return len(self.names)

    def encode(self, cells: Sequence[list[str]], out: np.ndarray) -> None:
        """Write the components of each column's texts to `out` (n, n_outputs)."""
        start = 0
        for j, vectorizer, components in zip(
            self.used, self.vectorizers, self.components, strict=True
        ):
            stop = start + components.shape[1]
            out[:, start:stop] = vectorizer.transform(cells[j]) @ components
            start = stop


def _fit_column(
    texts: list[str], n_components: int, seed: int
) -> tuple[TfidfVectorizer, np.ndarray] | None:
    """Return vectorizer and scaled components of one column, None where it has no words."""
    # Loaded for texts only: they bring scikit-learn's linear models and more.
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        max_features=MAX_WORDS, sublinear_tf=True, strip_accents="unicode", token_pattern=r"\w+"
    )
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError:  # scikit-learn's "empty vocabulary": punctuation only
        return None
    n_components = min(n_components, *weights.shape)
    svd = TruncatedSVD(n_components, random_state=seed).fit(weights)
    components = svd.components_.T
    spread = np.sqrt((weights @ components).var(axis=0).mean())
    return vectorizer, np.ascontiguousarray(components / (spread if spread > 0 else 1.0))
