"""Claim: resolving every public name costs at most 1.2 x importing torch, scikit-learn, pandas.

Each measurement is a fresh interpreter, its start included on both sides.
"""

import subprocess
import sys

from benchmarks._harness import interleave, report_table

PEER = "import torch, sklearn, pandas"
OURS = "every public name of mlfund"
PROGRAMS = {
    PEER: PEER,
    OURS: "import mlfund\nfor name in mlfund.__all__: getattr(mlfund, name)",
}


def run(quick: bool = False) -> dict:
    """Start interpreters in turn (once each when quick, else nine times)."""
    commands = {name: [sys.executable, "-c", program] for name, program in PROGRAMS.items()}
    competitors = {
        name: lambda command=command: subprocess.run(command, check=True)
        for name, command in commands.items()
    }
    return {"seconds": interleave(competitors, repeats=1 if quick else 9, warmup=0 if quick else 1)}


def report(result: dict) -> str:
    """A table with the ratio to the three imports alone."""
    return report_table(result["seconds"], reference=PEER)
