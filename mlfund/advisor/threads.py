"""How many threads a model may use."""

from __future__ import annotations

import os

# Smaller tables (cells) are done before a second thread has started.
_CELLS_FOR_THREADS = 100_000


def usable_threads(n_cells: int | None = None) -> int:
    """Return the number of cores this process may keep busy, one for a small table.

    What ``OMP_NUM_THREADS`` says is an upper limit: joblib sets it in its workers, so that
    workers times threads stays at the number of cores.
    """
    import joblib

    if n_cells is not None and n_cells < _CELLS_FOR_THREADS:
        return 1

    cores = int(joblib.cpu_count())
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores
