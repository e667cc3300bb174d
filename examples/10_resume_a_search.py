"""A search that is killed goes on where it was: checkpoints of every fit.

Handwritten digits (1,797 images of 8 x 8). The same grid search runs in a process of its own
that is killed twice with `SIGKILL`, as by a cluster that wants its machine back. The
search that comes after it finds the checkpoints of the fits that were under way. What it
finds best is compared with a search that nobody disturbed.

Run with: python examples/10_resume_a_search.py
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from mlfund import MLPClassifier

GRID = {"hidden_layer_sizes": [(64,), (64, 64)], "dropout": [None, 0.2]}


def search(folder: Path | None) -> GridSearchCV:
    """Search, with checkpoints in `folder` if there is one."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    network = MLPClassifier(
        max_iter=40,
        schedule="cosine",
        early_stopping=True,
        random_state=0,
        checkpoint_dir=folder,
        checkpoint_every=None if folder is None else 2,
    )
    return GridSearchCV(network, GRID, cv=2).fit(X / 16, y)


def under_way(folder: Path) -> list[str]:
    """Describe the fits that have checkpoints."""
    return [
        f"{path.name[:8]} at epoch {int(max(path.glob('epoch-*.npz')).stem[6:])}"
        for path in folder.iterdir()
        if any(path.glob("epoch-*.npz"))
    ]


def kill_a_search(folder: Path, seconds: float) -> None:
    """Start the search in another process and kill it some time after its first checkpoint."""
    process = subprocess.Popen([sys.executable, __file__, str(folder)])
    before = under_way(folder)
    while under_way(folder) == before and process.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    print(f"killed ({signal.Signals.SIGKILL.name}); under way: {', '.join(under_way(folder))}")


def main() -> None:
    """Kill the search twice, let it end, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seconds in (0.05, 0.1):
            kill_a_search(folder, seconds)
        resumed = search(folder)
        print(f"ended; left in the folder: {len(list(folder.iterdir()))} files")
    whole = search(None)
    print(f"best after two kills: {resumed.best_params_}, score {resumed.best_score_:.4f}")
    print(f"best without a kill:  {whole.best_params_}, score {whole.best_score_:.4f}")
    pairs = zip(resumed.best_estimator_.coefs_, whole.best_estimator_.coefs_, strict=True)
    same = all(np.array_equal(one, other) for one, other in pairs)
    print(f"weights are {'the same, bit for bit' if same else 'different'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        search(Path(sys.argv[1]))
    else:
        main()
