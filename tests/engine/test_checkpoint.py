import contextlib
import dataclasses
import functools
import io
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.callbacks import (
    FollowAdaptive,
    InverseScaling,
    RecordLearningRate,
    StopOnPlateau,
)
from mlfund._engine.checkpoint import (
    CheckpointFolder,
    Checkpoints,
    CheckpointWarning,
    training_fingerprint,
)
from mlfund._engine.data import DeviceRows
from mlfund._engine.divergence import DivergenceGuard
from mlfund._engine.intervals import Clock, Interval, read_interval
from mlfund._engine.net import Engine
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer
from mlfund._engine.state import engine_state
from mlfund._engine.state_file import read_tree, write_tree
from mlfund._engine.values import SETTING, read_object, read_value, write_object, write_value
from mlfund._files import source_of
from mlfund.losses import get_loss
from mlfund.nets.mlp import MLP
from mlfund.optimizers import OPTIMIZERS
from mlfund.penalties import get_penalty
from mlfund.schedules import get_schedule

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4))
Y = (X[:, 0] + 0.3 * RNG.normal(size=70) > 0).astype(np.int64) + (X[:, 1] > 0)
EVERY_EPOCH = Interval(epochs=1)


# --- one file ---------------------------------------------------------------------------

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
arrays = st.sampled_from(
    [
        np.arange(6.0).reshape(2, 3),
        np.zeros((0, 2), np.float32),
        np.array([True, False]),
        np.float32(0.1),
        np.int8(3),
        torch.arange(5, dtype=torch.bfloat16),
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.arange(6).reshape(2, 3).T,
    ]
)
trees = st.recursive(
    plain | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def through_a_file(tree):
    file = io.BytesIO()
    write_tree(file, tree)
    file.seek(0)
    return read_tree(file)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and torch.equal(a, b)
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


@settings(max_examples=40, deadline=None)
@given(trees)
def test_a_tree_comes_back_as_it_was(tree):
    assert same(through_a_file(tree), tree)


def test_big_integers_and_sets_come_back():
    state = np.random.default_rng(3).bit_generator.state
    assert through_a_file({"pcg": state, "seen": {1, 2}}) == {"pcg": state, "seen": {1, 2}}


@pytest.mark.parametrize("value", [object(), np.array([object()]), lambda: 0, {"a": [print]}])
def test_what_would_need_pickle_is_refused(value):
    with pytest.raises(TypeError, match="cannot hold"):
        write_tree(io.BytesIO(), value)


# --- one object -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Frozen:
    best: float = math.inf
    stale: int = 0


class Part:
    def __init__(self, seed):
        self.count = seed
        self.lr = np.float64(seed)
        self.best = torch.full((3,), float(seed))
        self.curve = [float(seed)] * seed
        self.state = Frozen(stale=seed)
        self.numpy = np.random.RandomState(seed)
        self.generator = np.random.default_rng(seed)
        self.torch = torch.Generator().manual_seed(seed)
        self.optimizer = OPTIMIZERS["adam"]
        self.function = print


def test_the_state_of_an_object_goes_into_another_one():
    one, other = Part(3), Part(5)
    shared = other.best
    for part in (one, other):
        part.numpy.normal()  # leaves a second normal number cached
    write_object(other, through_a_file(read_object(one, "part")))
    assert (other.count, other.lr, other.curve) == (3, 3.0, [3.0] * 3)
    assert other.state == Frozen(stale=3)
    assert other.best is not one.best
    assert shared.tolist() == [3.0] * 3, "written in place: others may hold views"
    assert other.numpy.normal() == one.numpy.normal()
    assert other.generator.normal() == one.generator.normal()
    assert torch.equal(torch.rand(3, generator=other.torch), torch.rand(3, generator=one.torch))


def test_settings_are_no_state():
    for value in (print, OPTIMIZERS["adam"], torch.device("cpu"), np.float64, [print, len]):
        assert read_value(value, "x") is SETTING


class KeepsItsOwn:
    def __init__(self):
        self.handle = object()
        self.n = 0

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"]


def test_an_object_may_say_itself_what_its_state_is():
    one, other = KeepsItsOwn(), KeepsItsOwn()
    one.n = 7
    write_object(other, through_a_file(read_object(one, "part")))
    assert other.n == 7
    write_value(other, {"n": 8})
    assert other.n == 8


def test_what_cannot_be_written_is_named():
    class Handle:
        pass

    class Odd:
        def __init__(self):
            self.handle = Handle()

    with pytest.raises(TypeError, match=r"cannot hold odd\.handle.*state_dict\(\)"):
        read_object(Odd(), "odd")
    with pytest.raises(TypeError, match="cannot hold mixed"):
        read_value([1, print], "mixed")


def test_a_dataclass_does_not_come_back_as_a_dict():
    saved = read_value(Frozen(), "x")
    with pytest.raises(TypeError, match="A Frozen was saved where a NoneType is"):
        write_value(None, saved)


# --- intervals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        (1, Interval(epochs=1)),
        (np.int64(5), Interval(epochs=5)),
        ("30s", Interval(seconds=30.0)),
        ("5min", Interval(seconds=300.0)),
        (" 1.5 h ", Interval(seconds=5400.0)),
    ],
)
def test_intervals(value, interval):
    assert read_interval("every", value) == interval


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "0s", "5 parsecs", "min", "", None])
def test_no_intervals(value):
    with pytest.raises(ValueError, match="every must be a number of epochs"):
        read_interval("every", value)


def test_a_clock_of_seconds_rings_once_an_interval(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mlfund._engine.intervals.time.monotonic", lambda: now[0])
    clock = Clock(Interval(seconds=10.0))
    rings = []
    for epoch in range(1, 8):
        now[0] += 4.0
        rings.append(clock.due(epoch))
    assert rings == [False, False, True, False, False, True, False]


def test_a_clock_of_epochs_rings_at_multiples():
    clock = Clock(Interval(epochs=3))
    assert [clock.due(epoch) for epoch in range(1, 8)] == [n % 3 == 0 for n in range(1, 8)]


# --- an engine --------------------------------------------------------------------------


class Killed(BaseException):
    """What stands in for kill -9: nothing in the engine may tidy up after it."""


class KillAfter(Callback):
    """Ends the process, so to speak, before the checkpoint of an epoch is written."""

    def __init__(self, epoch):
        self.epoch = epoch

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise Killed


class Curve(Callback):
    """A callback of the user's that knows nothing of checkpoints."""

    def __init__(self):
        self.losses = []

    def on_epoch_end(self, net, **kwargs):
        self.losses.append(net.history[-1, "train_loss"])


class TorchNet(nn.Module):
    """Buffers, also one that is not in `state_dict`, and dropout from torch's own stream."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8).double()
        self.norm = nn.BatchNorm1d(8).double()
        self.last = nn.Linear(8, 3).double()
        self.drop = nn.Dropout(0.3)
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.calls = 0

    def forward(self, X):
        self.seen += 1
        self.calls += 1
        return self.last(self.drop(torch.relu(self.norm(self.first(X)))))

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def mlp():
    rng = np.random.RandomState(1)
    sizes = [(4, 8), (8, 3)]
    return MLP(
        [rng.normal(size=size) for size in sizes],
        [np.zeros(size[1]) for size in sizes],
        dropout=0.3,
        generator=torch.Generator().manual_seed(5),
    )


def make_engine(
    root=None, *, module=None, optimizer="adam", callbacks=(), epochs=8, valid=False, **options
):
    torch.manual_seed(11)
    module = mlp() if module is None else module()
    own = [DivergenceGuard(), RecordLearningRate(), *callbacks]
    own.append(StopOnPlateau(tol=1e-4, patience=3, on_score=valid, best=-1 if valid else math.inf))
    if root is not None:
        own.append(Checkpoints(root, EVERY_EPOCH, {"alpha": 0.1}))
    return Engine(
        module,
        Objective(get_loss("log_loss_multinomial"), 3),
        optimizer=FlatOptimizer(OPTIMIZERS[optimizer].build),
        lr=0.05,
        batch_size=16,
        max_epochs=epochs,
        order=ShuffledOrder(60, np.random.RandomState(0)),
        valid=DeviceRows(X[60:], Y[60:]) if valid else None,
        score=accuracy if valid else None,
        penalty=get_penalty("l2", alpha=0.1),
        callbacks=own,
        **options,
    )


def accuracy(raw, rows):
    return float((raw.argmax(dim=1) == rows.y).double().mean())


def rows():
    return DeviceRows(X[:60], Y[:60])


def ending(engine):
    state = engine_state(engine)
    for row in state["history"]:
        del row["dur"]
    return {name: part for name, part in state.items() if name != "parts"}


CASES = {
    "mlp": {},
    "early_stopping": {"valid": True},
    "torch_module": {"module": TorchNet},
    "adaptive": {"callbacks": (lambda: FollowAdaptive(get_schedule("plateau"), 0.05),)},
    "inverse_scaling": {"callbacks": (lambda: InverseScaling(0.05, 0.5, 0),)},
    "skorch": {
        "callbacks": (Curve, lambda: EarlyStopping("train_loss", patience=20, load_best=True))
    },
    **{name: {"optimizer": name} for name in OPTIMIZERS},
}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_training_ends_as_if_it_had_not_been(name, tmp_path):
    options = dict(CASES[name])
    made = options.pop("callbacks", ())

    def engine(root, *more):
        return make_engine(root, callbacks=[*(make() for make in made), *more], **options)

    whole = engine(None, KillAfter(0)).partial_fit(rows())
    for epoch in (3, 4, 6):
        with pytest.raises(Killed):
            engine(tmp_path, KillAfter(epoch)).partial_fit(rows())
    resumed = engine(tmp_path, KillAfter(0)).partial_fit(rows())
    assert dict(resumed.callbacks_)["Checkpoints"].resumed_epochs_ == 5
    assert len(resumed.history) == len(whole.history)
    assert same(ending(resumed), ending(whole))
    assert not list(tmp_path.iterdir()), "a training that ended leaves nothing"


def test_callbacks_of_the_user_are_resumed_too(tmp_path):
    with pytest.raises(Killed):
        make_engine(tmp_path, callbacks=[Curve(), KillAfter(3)]).partial_fit(rows())
    curve = Curve()
    engine = make_engine(tmp_path, callbacks=[curve, KillAfter(0)]).partial_fit(rows())
    assert curve.losses == engine.history[:, "train_loss"]


# --- what a folder holds ----------------------------------------------------------------


def folders(root):
    return sorted(path for path in root.iterdir() if path.is_dir())


def checkpoints(root):
    (folder,) = folders(root)
    return sorted(folder.glob("*.npz"))


def killed(root, epoch=5, **options):
    with pytest.raises(Killed):
        make_engine(root, callbacks=[KillAfter(epoch)], **options).partial_fit(rows())


def resumed_epochs(root, **options):
    engine = make_engine(root, callbacks=[KillAfter(0)], **options).partial_fit(rows())
    return dict(engine.callbacks_)["Checkpoints"].resumed_epochs_


def test_the_last_two_checkpoints_are_kept_and_described(tmp_path):
    killed(tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["epoch-000003.npz", "epoch-000004.npz"]
    (folder,) = folders(tmp_path)
    note = json.loads((folder / "training.json").read_text())
    assert (note["alpha"], note["rows"], note["versions"]["torch"]) == (0.1, 60, torch.__version__)


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_empty(path):
    path.write_bytes(b"")


def damage_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_foreign(path):
    with path.open("wb") as file:
        write_tree(file, {"format": 1, "fingerprint": "another", "state": {}})


def damage_format(path):
    with path.open("wb") as file:
        write_tree(file, {"format": 0, "fingerprint": path.parent.name, "state": {}})


DAMAGES = [damage_cut, damage_empty, damage_bit, damage_foreign, damage_format]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(damage, tmp_path):
    killed(tmp_path)
    damage(checkpoints(tmp_path)[-1])
    with pytest.warns(CheckpointWarning, match=r"epoch-000004\.npz cannot be read"):
        assert resumed_epochs(tmp_path) == 3


def test_without_a_readable_checkpoint_the_training_begins_anew(tmp_path):
    killed(tmp_path)
    for path in checkpoints(tmp_path):
        damage_cut(path)
    with pytest.warns(CheckpointWarning):
        assert resumed_epochs(tmp_path) == 0


def test_a_file_that_a_kill_left_half_written_is_no_checkpoint(tmp_path):
    killed(tmp_path)
    whole = checkpoints(tmp_path)[-1]
    (whole.parent / f".epoch-000005.npz.{os.getpid()}.abc.tmp").write_bytes(b"half")
    assert resumed_epochs(tmp_path) == 4
    assert not list(tmp_path.iterdir())


def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch):
    def full(self, epoch, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckpointFolder, "write", full)
    with pytest.warns(CheckpointWarning, match=r"epoch 1 could not be written.*No space left"):
        engine = make_engine(tmp_path, epochs=1).partial_fit(rows())
    assert len(engine.history) == 1


def test_a_folder_that_cannot_be_made_is_an_error_before_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make_engine(tmp_path / "file").partial_fit(rows())


def test_an_epoch_that_ends_the_training_is_not_written(tmp_path):
    class Look(Callback):
        def on_train_end(self, net, **kwargs):
            self.names = [path.name for path in checkpoints(tmp_path)]

    look = Look()
    stopper = EarlyStopping("train_loss", patience=1, threshold=10.0, sink=print)
    engine = make_engine(tmp_path, callbacks=[look, stopper]).partial_fit(rows())
    assert look.names == [f"epoch-{len(engine.history) - 1:06d}.npz"]


def test_folders_cleared_by_another_run_are_made_again(tmp_path):
    folder = CheckpointFolder(tmp_path, "abc", {})
    for epoch in (1, 2):
        folder.write(epoch, {"n": epoch})
        folder.clear()
    assert folder.newest("cpu") is None
    folder.write(3, {"n": 3})
    assert folder.newest("cpu") == {"n": 3}


def test_writers_of_one_fingerprint_do_not_disturb_each_other(tmp_path):
    """Several writers, one that clears, and a reader that never sees half a file."""
    state = {"weights": torch.arange(20000.0)}
    folder = CheckpointFolder(tmp_path, "abc", {})

    def write(first):
        for epoch in range(first, first + 12):
            with contextlib.suppress(FileNotFoundError):
                folder.write(epoch, state)

    def read():
        found = [folder.newest("cpu") for _ in range(30)]
        return all(item is None or torch.equal(item["weights"], state["weights"]) for item in found)

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, first) for first in (1, 5)]
        reader, clearer = pool.submit(read), pool.submit(folder.clear)
        assert reader.result()
        for job in (*writers, clearer):
            job.result()


# --- fingerprints -----------------------------------------------------------------------


def print_of(engine=None, data=None, **identity):
    engine = make_engine() if engine is None else engine
    torch.seed()  # as different as in two processes
    engine.initialize()
    engine.notify("on_train_begin", X=rows(), y=None)
    return training_fingerprint(engine, rows() if data is None else data, identity)


def test_equal_trainings_have_equal_fingerprints():
    assert print_of(alpha=0.1) == print_of(alpha=0.1)


def changed_weights():
    engine = make_engine()
    engine.module.weights[0].data[0, 0] += 1e-9
    return engine


def changed_stream():
    engine = make_engine()
    engine.iterator_train__draw_order.random_state.rand()
    return engine


def changed_masks():
    engine = make_engine()
    torch.rand(1, generator=engine.module.generator)
    return engine


OTHERS = {
    "weights": lambda: print_of(changed_weights(), alpha=0.1),
    "row order": lambda: print_of(changed_stream(), alpha=0.1),
    "dropout masks": lambda: print_of(changed_masks(), alpha=0.1),
    "parameters": lambda: print_of(alpha=0.2),
    "epochs": lambda: print_of(make_engine(epochs=9), alpha=0.1),
    "optimizer": lambda: print_of(make_engine(optimizer="sgd"), alpha=0.1),
    "data": lambda: print_of(data=DeviceRows(X[:60] + 1e-12, Y[:60]), alpha=0.1),
    "targets": lambda: print_of(data=DeviceRows(X[:60], Y[:60][::-1].copy()), alpha=0.1),
    "weights of rows": lambda: print_of(data=DeviceRows(X[:60], Y[:60], np.ones(60)), alpha=0.1),
    "rows set aside": lambda: print_of(make_engine(valid=True), alpha=0.1),
}


@pytest.mark.parametrize("change", OTHERS)
def test_another_training_has_another_fingerprint(change):
    assert OTHERS[change]() != print_of(alpha=0.1)


def test_another_version_has_another_fingerprint(monkeypatch):
    before = print_of()
    monkeypatch.setattr("mlfund.__version__", "99.0")
    assert print_of() != before


def test_another_training_does_not_resume(tmp_path):
    killed(tmp_path)
    assert resumed_epochs(tmp_path, epochs=9) == 0
    assert resumed_epochs(tmp_path) == 4
    assert resumed_epochs(tmp_path) == 0, "a finished training is not resumed"


def test_the_source_of_users_code_counts():
    assert "def accuracy(raw, rows)" in source_of(accuracy)
    assert "class TorchNet" in source_of(TorchNet)
    for known in (nn.Linear, MLP, print, np.mean, functools.partial):
        assert source_of(known) is None or known is functools.partial
