"""The command line as a process: what it imports, pipes that close, a real interrupt."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def started(*argv, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "mlfund", *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys\n"
        "from mlfund.cli import main\n"
        "assert main(['--help']) == main(['--version']) == main(['advise', '--help']) == 0\n"
        "assert main(['advise', '--folds', '0']) == 2\n"
        "heavy = {'torch', 'numpy', 'pandas', 'sklearn', 'rich', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_error_in_a_process(tmp_path):
    with started("advise", "nothing.csv", "--target", "y", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert out == ""
    assert err == "mlfund: error: There is no file nothing.csv.\n"


def wait_for(condition, process, seconds=120):
    """Wait until a condition holds, while the process runs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        if process.poll() is not None:
            pytest.fail(f"ended too early: {process.communicate()}")
        time.sleep(0.02)
    process.kill()
    pytest.fail("nothing happened in time")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_real_interrupt_leaves_a_valid_file(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(4000, 8)), columns=list("abcdefgh"))
    frame["y"] = np.where(frame["a"] + rng.normal(size=4000) > 0, "yes", "no")
    frame.to_parquet(tmp_path / "t.parquet")
    # a session of its own, so that the signal reaches all its processes as Ctrl-C does
    argv = ("advise", "t.parquet", "--target", "y", "--folds", "20", "--out", "out")
    with started(*argv, cwd=tmp_path, start_new_session=True) as process:
        written = tmp_path / "out" / "advice.json"
        wait_for(written.exists, process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == (
        f"mlfund: Interrupted; what was finished is in {Path('out/advice.json')}, "
        "marked incomplete."
    )
    advice = json.loads(written.read_text(encoding="utf-8"))
    assert advice["status"] == "incomplete"
    assert any(row["score_mean"] is not None for row in advice["leaderboard"])
    assert "stopped before it ended" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert not (tmp_path / "out" / "model.skops").exists()
    # no half-written file and no orphan
    assert {item.name for item in written.parent.iterdir()} == {"advice.json", "report.html"}
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
