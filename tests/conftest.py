"""Fixtures for all tests."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import settings

# A machine that does other work too is slow, which is no fault of the code.
settings.register_profile("mlfund", deadline=None)
settings.load_profile("mlfund")

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_data() -> Path | None:
    """Folder of the benchmark tables, or None where it is not at hand."""
    folder = Path(os.environ.get("MLFUND_DATA", REPOSITORY.parent / "shared" / "data"))
    return folder if (folder / "catalogue.csv").is_file() else None


def shared_catalogue() -> pd.DataFrame:
    """One row a table; empty where the tables are not at hand."""
    folder = shared_data()
    return pd.DataFrame({"name": []}) if folder is None else pd.read_csv(folder / "catalogue.csv")


@pytest.fixture(scope="session")
def shared_table():
    """Return a function: name -> (X, y, task), skipping where the table is not at hand."""
    folder = shared_data()

    def read(name):
        if folder is None:
            pytest.skip("no benchmark tables: set MLFUND_DATA to their folder")
        row = shared_catalogue().set_index("name").loc[name]
        table = pd.read_parquet(folder / row["file"])
        return table.drop(columns=row["target"]), table[row["target"]], row["task"]

    return read


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Keep embeddings of tests, and of programs that they start, out of the user's cache."""
    os.environ["MLFUND_CACHE"] = str(tmp_path_factory.mktemp("embeddings"))


def pytest_configure():
    """Let Ctrl-C interrupt, also where the tests run in the background.

    A shell starts background jobs with SIGINT ignored; Python and the processes it starts would
    inherit that, and the tests of interrupts would wait in vain.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skip `gpu` tests where torch sees no CUDA device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
