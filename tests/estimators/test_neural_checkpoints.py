import multiprocessing
import os
import random
import signal
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import KFold
from skorch.callbacks import Callback
from torch import nn

from mlfund import MLPClassifier, MLPRegressor, NeuralClassifier

X, Y = make_classification(300, 12, n_informative=6, n_classes=3, random_state=0)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_model(folder=None, **options):
    options = {
        "max_iter": 40,
        "dropout": 0.2,
        "schedule": "cosine",
        "early_stopping": True,
        "n_iter_no_change": 25,
        "random_state": 3,
        "checkpoint_dir": folder,
        "checkpoint_every": None if folder is None else 1,
        **options,
    }
    return MLPClassifier((24, 12), **options)


def result(model):
    """Everything a fit sets that is not a time."""
    history = model.history_.drop(columns="seconds")
    arrays = {f"weights {i}": array for i, array in enumerate(model.coefs_ + model.intercepts_)}
    optimizer = model._optimizer_state["state"]
    return {
        **arrays,
        **{f"optimizer {name}": value for name, value in optimizer.items()},
        **{f"history {name}": column.to_numpy() for name, column in history.items()},
        "numbers": np.array([model.n_iter_, model.t_, model.loss_, model._no_improvement_count]),
        "scores": np.array(model.validation_scores_ or []),
    }


def assert_bit_identical(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name, strict=True)


# --- kill -9 ----------------------------------------------------------------------------


# Ten take a little longer: MLFUND_KILLS=10 pytest tests/estimators/test_neural_checkpoints.py
N_KILLS = int(os.environ.get("MLFUND_KILLS", "2"))


class Slow(Callback):
    """Leaves time to be killed in."""

    def on_epoch_end(self, net, **kwargs):
        time.sleep(0.02)


def fit_and_save(folder, target):
    warnings.simplefilter("ignore", ConvergenceWarning)
    np.savez(target, **result(make_model(folder, callbacks=[Slow()]).fit(X, Y)))


def epoch_reached(folder):
    files = sorted(Path(folder).glob("*/epoch-*.npz"))
    return int(files[-1].stem[6:]) if files else 0


def kill_when(process, folder, epoch, delay):
    """Kill the process some time after it has written a checkpoint of that epoch."""
    while epoch_reached(folder) < epoch and process.is_alive():
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_fit_killed_at_random_moments_ends_bit_identical(tmp_path):
    context = multiprocessing.get_context("forkserver")
    # What a child would else import anew each time.
    context.set_forkserver_preload(
        [
            "pytest",
            "sklearn.datasets",
            "mlfund.estimators.neural_classifier",
            "mlfund.estimators.mlp_regressor",
        ]
    )
    chance = random.Random(5)
    checkpoints, target = tmp_path / "checkpoints", tmp_path / "fitted.npz"
    reached = 0
    for _ in range(N_KILLS):
        process = context.Process(target=fit_and_save, args=(checkpoints, target))
        process.start()
        epoch = reached + chance.randint(1, 32 // N_KILLS)
        kill_when(process, checkpoints, epoch, chance.uniform(0, 0.02))
        assert process.exitcode == -signal.SIGKILL
        assert epoch <= epoch_reached(checkpoints) < 40
        reached = epoch_reached(checkpoints)
    process = context.Process(target=fit_and_save, args=(checkpoints, target))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert not list(checkpoints.iterdir())
    assert_bit_identical(dict(np.load(target)), result(make_model().fit(X, Y)))


# --- kills that need no process: an exception that nothing in a fit expects ----------------


class Killed(BaseException):
    pass


class KillAt(Callback):
    """Stands for kill -9 in an epoch; counts the epochs it sees."""

    epoch = 0
    seen = 0

    def on_epoch_end(self, net, **kwargs):
        type(self).seen += 1
        if len(net.history) == self.epoch:
            raise Killed


@pytest.fixture(autouse=True)
def nobody_is_killed():
    yield
    KillAt.epoch = KillAt.seen = 0


def killed(model, epoch, data=(X, Y)):
    KillAt.epoch = epoch
    with pytest.raises(Killed):
        model.fit(*data)
    KillAt.epoch = KillAt.seen = 0


CASES = {
    "defaults": {},
    "float32": {"precision": "float32"},
    "sgd with momentum": {"solver": "sgd", "dropout": None, "schedule": None},
    "inverse scaling": {"solver": "sgd", "learning_rate": "invscaling", "schedule": None},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "schedule": None},
    "plateau": {"schedule": "plateau", "early_stopping": False},
    "muon": {"optimizer": "muon"},
    "no shuffle": {"shuffle": False},
    "normalised": {"normalization": "batch"},
    "averaged": {"averaging": "ema"},
    "stochastic averages": {"averaging": "swa", "normalization": "batch"},
    "augmented": {"mixup": 0.2, "input_noise": 0.1, "label_smoothing": 0.1},
    "norms": {"track_norms": True},
    "accumulated": {"accumulation_steps": 3, "batch_size": 32, "clip_norm": 1.0},
    "regularised": {"l1_ratio": 0.5, "max_norm": 2.0, "weight_decay": 0.01},
    "own score": {"scoring": make_scorer(f1_score, average="macro")},
    "own split": {"validation_split": KFold(4)},
    "random state": {"random_state": np.random.RandomState(7)},
}


@pytest.mark.parametrize("name", CASES)
def test_every_way_of_training_resumes(name, tmp_path):
    options = {"max_iter": 12, **CASES[name], "callbacks": [KillAt()]}
    if options.get("schedule", "cosine") is None:
        options["dropout"] = None
    model = clone(make_model(tmp_path, **options))
    whole = clone(make_model(**options)).fit(X, Y)
    killed(clone(model), 7)
    resumed = clone(model).fit(X, Y)
    assert KillAt.seen == whole.n_iter_ - 6
    assert_bit_identical(result(resumed), result(whole))
    assert not list(tmp_path.iterdir())


def test_a_regression_resumes(tmp_path):
    options = {"max_iter": 10, "random_state": 0, "callbacks": [KillAt()]}
    data = (X[:, 1:], X[:, 0])
    whole = MLPRegressor(**options).fit(*data)
    model = MLPRegressor(**options, checkpoint_dir=str(tmp_path), checkpoint_every=3)
    killed(model, 8, data)
    model.fit(*data)
    assert KillAt.seen == 4
    assert_bit_identical(result(model), result(whole))


def test_a_training_that_goes_on_resumes_where_it_was(tmp_path):
    options = {"max_iter": 5, "callbacks": [KillAt()], "warm_start": True, "early_stopping": False}
    whole = make_model(**options).fit(X, Y).fit(X, Y)
    model = make_model(tmp_path, **options).fit(X, Y)
    killed(model, 4)
    model.fit(X, Y)
    assert KillAt.seen == 2
    assert_bit_identical(result(model), result(whole))


def test_a_random_state_of_the_user_is_left_as_without_a_kill(tmp_path):
    ends = []
    for folder in (None, tmp_path):
        stream = np.random.RandomState(4)
        model = make_model(folder, max_iter=6, random_state=stream, callbacks=[KillAt()])
        if folder is not None:
            killed(clone(model), 5)
        model.fit(X, Y)
        ends.append(stream.random_sample())
    assert ends[0] == ends[1]


class Net(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(16, n_outputs),
        )

    def forward(self, X):
        return self.layers(X)


def test_a_module_of_the_users_resumes(tmp_path):
    options = {"module": Net, "max_iter": 10, "random_state": 0, "callbacks": [KillAt()]}
    whole = NeuralClassifier(**options).fit(X, Y)
    model = NeuralClassifier(**options, checkpoint_dir=tmp_path, checkpoint_every=2)
    killed(model, 7)
    model.fit(X, Y)
    assert KillAt.seen == 4
    np.testing.assert_array_equal(model.loss_curve_, whole.loss_curve_)
    for name, value in whole.module_.state_dict().items():
        assert torch.equal(model.module_.state_dict()[name], value), name


# --- what does not resume ---------------------------------------------------------------


def seen_after_a_kill(tmp_path, change, data=(X, Y)):
    model = make_model(tmp_path, max_iter=6, callbacks=[KillAt()])
    killed(model, 4)
    model.set_params(**change).fit(*data)
    return KillAt.seen


def test_only_the_very_same_fit_resumes(tmp_path):
    assert seen_after_a_kill(tmp_path, {}) == 3
    assert seen_after_a_kill(tmp_path, {"checkpoint_every": "1h", "verbose": True}) == 3
    for change in ({"alpha": 0.1}, {"random_state": 4}, {"max_iter": 5}, {"precision": "float32"}):
        assert seen_after_a_kill(tmp_path, change) == change.get("max_iter", 6), change
    assert seen_after_a_kill(tmp_path, {}, (X, Y[::-1])) == 6


def test_a_finished_fit_is_not_resumed(tmp_path):
    model = make_model(tmp_path, max_iter=6, callbacks=[KillAt()]).fit(X, Y)
    KillAt.seen = 0
    model.fit(X, Y)
    assert KillAt.seen == 6


def test_an_interrupt_keeps_the_checkpoints(tmp_path):
    class Interrupt(KillAt):
        pass

    model = make_model(tmp_path, max_iter=6, callbacks=[KillAt()])
    killed(model, 4)
    assert epoch_reached(tmp_path) == 3
    assert not hasattr(model, "coefs_")


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model(max_iter=2).fit(X, Y)
    assert not list(tmp_path.iterdir())


def test_a_duration_writes_seldom(tmp_path):
    model = make_model(tmp_path, max_iter=6, checkpoint_every=None, callbacks=[KillAt()])
    killed(model, 5)
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == ["training.json"]


def test_verbose_says_where_it_goes_on(tmp_path, capsys):
    model = make_model(tmp_path, max_iter=6, callbacks=[KillAt()], verbose=True)
    killed(model, 4)
    capsys.readouterr()
    model.fit(X, Y)
    assert capsys.readouterr().out.startswith("Resuming after epoch 3 from ")


# --- errors -----------------------------------------------------------------------------


def bend(raw, y):
    return (raw.squeeze(1) - y).abs()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"random_state": None}, "checkpoint_dir needs a seed"),
        ({"checkpoint_every": "soon"}, "checkpoint_every must be a number of epochs"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a number of epochs"),
        ({"checkpoint_dir": None}, "checkpoint_every=1 needs a folder"),
        ({"solver": "lbfgs", "schedule": None, "dropout": None}, "checkpoint_dir"),
        ({"scoring": lambda *_: 0.0}, r"scoring=.*lambda.* is not: Cannot fingerprint"),
        ({"callbacks": [KillAt(), partial(print)]}, "must be skorch callbacks"),
    ],
)
def test_checkpoints_that_could_not_be_found_again_are_refused(options, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        make_model(tmp_path).set_params(**options).fit(X, Y)


def test_partial_fit_has_no_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="partial_fit does not support checkpoint_dir"):
        make_model(tmp_path, early_stopping=False).partial_fit(X, Y, classes=[0, 1, 2])


def test_a_callback_that_cannot_be_written_is_named_before_the_training(tmp_path):
    with pytest.raises(TypeError, match=r"cannot hold callback Handle\.file.*state_dict"):
        make_model(tmp_path, callbacks=[Handle()]).fit(X, Y)


class Handle(Callback):
    def on_train_begin(self, net, **kwargs):
        self.file_ = open(os.devnull)  # noqa: SIM115 - what a logger would hold

    def on_train_end(self, net, **kwargs):
        self.file_.close()
