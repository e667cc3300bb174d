"""A grid search over several processes, killed with all its workers, goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from mlfund import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(240, 10, n_informative=5, random_state=0)
EPOCHS = 60
FITS = 4 * 2 + 1


class CountEpochs(Callback):
    """Writes a byte for every epoch trained, whatever process trains it."""

    def __init__(self, path):
        self.path = path

    def on_epoch_end(self, net, **kwargs):
        with open(self.path, "ab") as file:
            file.write(b".")
        time.sleep(0.002)


def search(folder, count):
    model = MLPClassifier(
        max_iter=EPOCHS,
        random_state=0,
        dropout=0.1,
        n_iter_no_change=EPOCHS,
        callbacks=[CountEpochs(str(count))],
        checkpoint_dir=folder,
        checkpoint_every=None if folder is None else 1,
    )
    grid = {"alpha": [1e-4, 1e-1], "hidden_layer_sizes": [(16,), (8, 8)]}
    return GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X, Y)


def trained(count):
    return count.stat().st_size if count.exists() else 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_a_killed_search_resumes_what_was_unfinished(tmp_path):
    folder, count = tmp_path / "checkpoints", tmp_path / "count"
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        f"from {__name__} import search\nsearch({str(folder)!r}, {str(count)!r})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, env=environment
    )
    # Somewhere among the first fits, with one under way in each worker.
    while trained(count) < 1.5 * EPOCHS:
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    unfinished = [int(sorted(p.glob("*.npz"))[-1].stem[6:]) for p in folder.iterdir()]
    assert 1 <= len(unfinished) <= 2
    before = trained(count)
    resumed = search(folder, count)
    assert not list(folder.iterdir())
    assert trained(count) - before <= FITS * EPOCHS - sum(unfinished)

    whole = search(None, tmp_path / "other")
    for name in ("params", "split0_test_score", "split1_test_score"):
        assert np.array_equal(resumed.cv_results_[name], whole.cv_results_[name]), name
    for one, other in zip(
        resumed.best_estimator_.coefs_, whole.best_estimator_.coefs_, strict=True
    ):
        np.testing.assert_array_equal(one, other)
