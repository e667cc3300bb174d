"""How many threads a model may use."""

from __future__ import annotations

import os


def usable_threads() -> int:
    """Return the number of cores this process may keep busy.

    What ``OMP_NUM_THREADS`` says is an upper limit: joblib sets it in its workers, so that
    workers times threads stays at the number of cores.
    """
    import joblib

    cores = int(joblib.cpu_count())
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores
