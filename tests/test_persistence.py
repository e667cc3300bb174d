"""Saved models come back bit for bit; damaged, foreign and crafted files are refused."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import types
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch.optim import NAdam

import mlfund
from mlfund import (
    _saved_archive,
    _version_stamp,
    augmentation,
    initializers,
    losses,
    optimizers,
    penalties,
    schedules,
)
from mlfund.advisor.candidates import CANDIDATES, Setting
from mlfund.nets import activations, normalisation
from mlfund.persistence import (
    PersistenceError,
    UntrustedTypeError,
    VersionMismatchWarning,
    load,
    save,
    trusted_types,
)
from tests.saved_models import LABELS, MODELS, X, dump, edit, fitted, outputs


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.skops"
    save(fitted("forest"), path)
    return path


@pytest.fixture
def write(tmp_path):
    def write_bytes(data):
        (tmp_path / "file.skops").write_bytes(data)
        return tmp_path / "file.skops"

    return write_bytes


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_has_the_same_outputs_and_parameters(name, tmp_path):
    model = fitted(name)
    save(model, tmp_path / "model.skops")
    loaded = load(tmp_path / "model.skops")
    assert outputs(loaded) == outputs(model)
    assert repr(clone(loaded)) == repr(clone(model))
    assert sorted(vars(loaded)) == sorted(vars(model))


def test_another_process_gets_bit_identical_outputs(tmp_path):
    np.save(tmp_path / "X.npy", X)
    for name in MODELS:
        save(fitted(name), tmp_path / f"{name}.skops")
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(fitted(name)))
        joblib.dump(fitted(name), tmp_path / f"{name}.joblib")
    program = (
        "import hashlib, json, pathlib, pickle, sys\n"
        "import joblib, mlfund, numpy as np\n"
        "X = np.load('X.npy')\n"
        "read = {'.skops': mlfund.load, '.joblib': joblib.load,\n"
        "        '.pickle': lambda path: pickle.loads(path.read_bytes())}\n"
        "found = {}\n"
        "for path in pathlib.Path().iterdir():\n"
        "    if path.suffix in read:\n"
        "        model = read[path.suffix](path)\n"
        "        predict = getattr(model, 'predict_proba', model.predict)\n"
        "        found[path.name] = hashlib.sha256(predict(X).tobytes()).hexdigest()\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    expected = {
        f"{name}.{kind}": hashlib.sha256(outputs(fitted(name))).hexdigest()
        for name in MODELS
        for kind in ("skops", "pickle", "joblib")
    }
    assert json.loads(done.stdout) == expected


def test_an_unfitted_estimator_can_be_saved(tmp_path):
    save(LogisticRegression(C=3.0), tmp_path / "model.skops")
    assert load(tmp_path / "model.skops").C == 3.0


def test_a_folder_for_checkpoints_is_restored(tmp_path):
    folder = tmp_path / "checkpoints"
    save(mlfund.MLPClassifier(checkpoint_dir=folder), tmp_path / "model.skops")
    assert load(tmp_path / "model.skops").checkpoint_dir == folder


def test_the_file_is_plain_skops_and_names_what_wrote_it(saved):
    model = skops.io.load(saved, trusted=list(trusted_types()))
    assert outputs(model) == outputs(fitted("forest"))
    manifest = json.loads(zipfile.ZipFile(saved).read("mlfund.json"))
    assert manifest["mlfund"] == mlfund.__version__
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["class"] == "sklearn.ensemble._forest.RandomForestClassifier"


def test_a_plain_skops_file_is_read(write):
    assert outputs(load(write(dump(fitted("forest"))))) == outputs(fitted("forest"))


def test_the_reviewed_list_has_no_duplicates_and_every_name_exists():
    for name in trusted_types():
        if name.startswith("xgboost"):
            pytest.importorskip("xgboost")
        module, _, attribute = name.rpartition(".")
        found = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert f"{found.__module__}.{found.__qualname__}" == name
    assert len(set(trusted_types())) == len(trusted_types())


def test_the_vocabulary_holds_plain_numbers_only_and_is_trusted():
    tables = [
        activations.ACTIVATIONS,
        augmentation.AUGMENTATIONS,
        initializers.INITIALIZERS,
        losses.LOSSES,
        normalisation.NORMALIZATIONS,
        optimizers.OPTIMIZERS,
        penalties.PENALTIES,
        schedules.SCHEDULES,
    ]
    for entry in (entry for table in tables for entry in table.values()):
        plain = (int, float, bool, str, type(None))
        assert all(type(value) in plain for value in vars(entry).values()), entry
        assert f"{type(entry).__module__}.{type(entry).__name__}" in trusted_types()


@pytest.mark.parametrize("name", ["cpu", "cuda:1", "mps"])
def test_a_device_of_torch_is_restored(write, name):
    model = mlfund.ImageTransferClassifier(device=torch.device(name))
    assert load(write(dump(model))).device == model.device


def test_a_model_that_was_fitted_with_a_device_of_torch_is_saved(tmp_path):
    model = mlfund.ImageTransferClassifier("precomputed", device=torch.device("cpu"))
    model.fit(X, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mlfund.save(model, tmp_path / "model.skops")
    again = mlfund.load(tmp_path / "model.skops")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_entries_around_what_torch_and_numpy_trust_are_restored(write):
    options = {"betas": (0.8, 0.9)}
    model = mlfund.MLPClassifier(
        optimizer=optimizers.TorchOptimizer(NAdam, **options),
        schedule=schedules.get_schedule(np.sqrt),
        loss=losses.get_loss("focal_binary", gamma=1.0),
    )
    loaded = load(write(dump(model)))
    for name in ("optimizer", "schedule", "loss"):
        assert getattr(loaded, name) == getattr(model, name)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_candidate_of_the_advisor_is_restored_from_a_mixed_table(task, tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "number": X[:, 0],
            "gaps": np.where(rng.random(len(X)) < 0.3, np.nan, X[:, 1]),
            "kind": rng.choice(["a", "b", None], len(X)),
            "flag": rng.random(len(X)) < 0.5,
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(X)), "D"),
            "text": [f"note {i} on topic {i * i % 31} and {i % 7}" for i in range(len(X))],
        }
    )
    target = LABELS if task == "classification" else X[:, 0]
    for candidate in CANDIDATES[task]:
        pipeline = candidate.build(Setting(task, n_rows=len(X)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # so few rows need not converge
            pipeline.fit(table, target)
        save(pipeline, tmp_path / "model.skops")
        loaded = load(tmp_path / "model.skops")
        assert outputs(loaded, table) == outputs(pipeline, table), candidate.name


# ---- saving


class Custom(BaseEstimator):
    """An estimator outside the reviewed list."""

    def fit(self, X, y=None):
        return self


def local_function():
    def inner(X):
        return X

    return inner


@pytest.mark.parametrize(
    ("function", "reason"), [(lambda X: X, "a lambda"), (local_function(), "defined in a function")]
)
def test_functions_without_import_path_are_refused(function, reason, tmp_path):
    path = tmp_path / "model.skops"
    with pytest.raises(PersistenceError, match=f"saved by import path, and this one is {reason}"):
        save(make_pipeline(FunctionTransformer(function)), path)
    assert not path.exists()


def test_state_that_cannot_be_written_is_refused_in_a_sentence(tmp_path):
    model = Custom()
    model.file_ = sys.stdout
    with pytest.raises(PersistenceError, match="Custom cannot be saved"):
        save(model, tmp_path / "model.skops")
    model.file_ = types.SimpleNamespace(me=model)
    with pytest.raises(PersistenceError, match="Custom cannot be saved"):
        save(model, tmp_path / "model.skops")


@pytest.mark.parametrize("value", [3, {"a": 1}, LogisticRegression])
def test_only_estimators_are_saved(value, tmp_path):
    with pytest.raises(TypeError, match=r"mlfund\.save saves estimators"):
        save(value, tmp_path / "model.skops")


def test_saving_what_load_will_refuse_warns(tmp_path):
    with pytest.warns(UserWarning, match="mlfund.load will refuse this file: .*Custom"):
        save(Custom(), tmp_path / "model.skops")


# ---- refusing


@pytest.mark.filterwarnings("ignore:mlfund.load will refuse")
def test_a_type_outside_the_list_is_refused_by_name(tmp_path):
    save(make_pipeline(Custom()), tmp_path / "model.skops")
    with pytest.raises(UntrustedTypeError, match=r"Custom, which is not in mlfund.trusted_types"):
        load(tmp_path / "model.skops")
    assert issubclass(UntrustedTypeError, ValueError)
    assert issubclass(UntrustedTypeError, TypeError)


def test_a_function_of_the_system_is_refused(write):
    data = edit(
        dump(fitted("function")),
        lambda text: text.replace('"tanh"', '"system"').replace('"numpy"', '"os"'),
    )
    with pytest.raises(PersistenceError):
        load(write(data))


def test_any_200_flipped_bits_are_refused_or_harmless(saved, write):
    data, expected = saved.read_bytes(), outputs(fitted("forest"))
    rng = np.random.default_rng(0)
    # uniform over the file, and as many in its last part: the directory of the archive
    positions = [*rng.integers(len(data), size=100), *(len(data) - rng.integers(2000, size=100))]
    refused = 0
    for position in positions:
        damaged = bytearray(data)
        damaged[min(position, len(data) - 1)] ^= 1 << rng.integers(8)
        try:
            model = load(write(bytes(damaged)))
        except PersistenceError:
            refused += 1
        else:
            assert outputs(model) == expected
    assert refused > 150


@given(st.data())
def test_a_file_cut_off_anywhere_is_refused(saved, data):
    content = saved.read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    path = saved.with_name("cut.skops")
    path.write_bytes(content[:length])
    with pytest.raises(PersistenceError, match=r"damaged|empty|not a saved model"):
        load(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(saved, content):
    path = saved.with_name("bytes.skops")
    path.write_bytes(content)
    with pytest.raises(PersistenceError):
        load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["__class__", "__module__", "__loader__", "content", "protocol", "file"]
            ),
            inner | st.sampled_from(["ObjectNode", "TypeNode", "builtins", "eval", "DictNode"]),
            max_size=6,
        )
    ),
)


@given(JSON)
def test_any_schema_is_refused(saved, schema):
    path = saved.with_name("schema.skops")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    with pytest.raises(PersistenceError):
        load(path)


def test_other_archives_folders_and_missing_files_are_said(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(PersistenceError, match=r"archive without schema\.json"):
        load(tmp_path / "archive.zip")
    with pytest.raises(PersistenceError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        load(tmp_path / "none.skops")


def test_a_saved_dict_is_not_a_model(write):
    with pytest.raises(PersistenceError, match="got dict"):
        load(write(dump({"a": 1})))


def test_a_pickle_is_not_run(write):
    with pytest.raises(PersistenceError, match="is not a saved model"):
        load(write(pickle.dumps(fitted("forest"))))


def test_a_file_that_unfolds_without_bounds_is_refused(write, monkeypatch):
    monkeypatch.setattr(_saved_archive, "_UNFOLDED_BYTES", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", " " * 1_000_000)
    with pytest.raises(PersistenceError, match="would unfold to 1000000 bytes"):
        load(write(buffer.getvalue()))


def test_a_changed_member_is_noticed(saved, write):
    source, target = zipfile.ZipFile(saved), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, content.replace(b"gini", b"GINI"))
    with pytest.raises(PersistenceError, match="does not match its checksums"):
        load(write(target.getvalue()))


# ---- versions


def with_manifest(path, **changes):
    source, target = zipfile.ZipFile(path), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name == "mlfund.json":
                content = json.dumps({**json.loads(content), **changes})
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "mlfund": "7.0"}, "file format 2, written by mlfund 7.0"),
        ({"mlfund": "99.1.0"}, "saved by mlfund 99.1.0, newer than the installed"),
    ],
)
def test_a_newer_file_is_refused(saved, write, changes, message):
    with pytest.raises(PersistenceError, match=message):
        load(write(with_manifest(saved, **changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mlfund": "0.0.1"}, r"saved with mlfund 0.0.1 \(installed: "),
        ({"versions": {"scikit-learn": "1.2.0"}}, r"saved with scikit-learn 1.2.0 \(installed: "),
    ],
)
def test_another_version_warns_and_loads(saved, write, changes, message):
    path = write(with_manifest(saved, **changes))
    with pytest.warns(VersionMismatchWarning, match=message):
        model = load(path)
    assert outputs(model) == outputs(fitted("forest"))


@pytest.mark.parametrize("name", ["logistic", "mlp", "mlp regressor", "table", "boosted"])
def test_pickles_carry_the_version_of_mlfund(name, monkeypatch):
    model = fitted(name)
    data = pickle.dumps(model)
    pickle.loads(data)  # warnings are errors here
    copy.deepcopy(model)
    monkeypatch.setattr(_version_stamp, "_installed_version", lambda: "9.9.9")
    with pytest.warns(VersionMismatchWarning, match=r"saved by mlfund .* read by mlfund 9.9.9"):
        loaded = pickle.loads(data)
    assert outputs(loaded) == outputs(model)


def test_a_pickle_without_a_stamp_warns():
    class Stamped(_version_stamp.VersionStamped, BaseEstimator):
        pass

    with pytest.warns(VersionMismatchWarning, match="unknown version"):
        Stamped().__setstate__({"a": 1})
