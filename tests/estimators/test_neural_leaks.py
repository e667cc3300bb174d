"""Many fits in one process leave no memory, threads, files or child processes behind."""

import gc
import threading
import tracemalloc

import psutil
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

from mlfund import MLPClassifier, NeuralClassifier
from tests.own_modules import Perceptron

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(200, 20, random_state=0)
# One set of weights of these models is 64 * 20 * 8 = 10 kB, so ten fits that each left
# one behind would grow by 100 kB, the rows (32 kB a copy) by more.
ALLOWED_BYTES = 40_000
PROCESS = psutil.Process()


def handles():
    """Threads, open files and children of this process."""
    return {
        "threads": threading.active_count(),
        "native threads": PROCESS.num_threads(),
        "files": len(PROCESS.open_files()),
        "descriptors": PROCESS.num_fds() if hasattr(PROCESS, "num_fds") else 0,
        "children": len(PROCESS.children(recursive=True)),
    }


def grown(before):
    """What there is more of than before."""
    return {name: n - before[name] for name, n in handles().items() if n > before[name]}


def traced_growth(work, warm_up, times):
    """Bytes that Python objects and arrays grew by over `times` calls after a warm-up."""
    for _ in range(warm_up):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def mlp(**options):
    return MLPClassifier((64,), max_iter=2, batch_size=50, random_state=0, **options)


@pytest.mark.parametrize(
    "make",
    [
        mlp,
        lambda: mlp(early_stopping=True, dropout=0.2, schedule="cosine", averaging="ema"),
        lambda: NeuralClassifier(
            Perceptron, module_params={"hidden": 64}, max_iter=2, random_state=0
        ),
    ],
    ids=["mlp", "much of an mlp", "own module"],
)
def test_ten_fits_in_a_row(make):
    model = make()
    model.fit(X, Y)
    before = handles()
    growth = traced_growth(lambda: model.fit(X, Y), warm_up=2, times=10)
    assert growth < ALLOWED_BYTES
    assert not grown(before)


def test_checkpoints_leave_no_file_open(tmp_path):
    model = mlp(checkpoint_dir=tmp_path, checkpoint_every=1)
    model.fit(X, Y)
    before = handles()
    assert traced_growth(lambda: model.fit(X, Y), warm_up=1, times=10) < ALLOWED_BYTES
    assert not grown(before)
    assert not list(tmp_path.iterdir())


def test_a_grid_of_200_fits():
    grid = {
        "alpha": [10.0**-i for i in range(10)],
        "learning_rate_init": [10.0**-i for i in range(1, 11)],
    }
    model = MLPClassifier((64,), max_iter=1, random_state=0)
    GridSearchCV(model, {"alpha": [1e-4, 1e-2]}, cv=2).fit(X, Y)
    before, resident = handles(), PROCESS.memory_info().rss
    search = GridSearchCV(model, grid, cv=2, error_score=0.0).fit(X, Y)
    assert len(search.cv_results_["params"]) == 100
    assert not grown(before)
    # 200 sets of weights and moments alone would be 6 MB, 200 copies of the rows as much.
    assert PROCESS.memory_info().rss - resident < 8 << 20
