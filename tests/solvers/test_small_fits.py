"""What a small fit does without."""

import subprocess
import sys

SCRIPT = """
import sys
from sklearn.datasets import load_iris
from mlfund import LogisticRegression
LogisticRegression().fit(*load_iris(return_X_y=True))
assert "torch" not in sys.modules
"""


def test_a_small_fit_does_not_load_torch():
    """Importing torch takes many times as long as the fit."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=120)
