"""A network that learns badly: ask why, mend it, ask again, and choose a learning rate.

The network gets columns as they were measured, from hundredths to thousands. `diagnose`
names the fault and what follows from it; with a scaler in front it finds none. The
learning-rate range test and the pictures of a diagnosis go to a temporary folder.

Run with: python examples/12_diagnosis.py
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import MLPClassifier, diagnose, find_learning_rate

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
network = MLPClassifier(max_iter=60, random_state=0)

# 1. What is wrong?
diagnosis = diagnose(network, X_train, y_train)
print(diagnosis)
assert diagnosis.faults == ["unscaled input"]

# 2. The cure that it names, and a second look. Steps of a pipeline are fitted on the
# training rows only.
mended = make_pipeline(StandardScaler(), network)
second = diagnose(mended, X_train, y_train)
print(f"\nwith a scaler: {second.verdict}")
assert not second.with_status("fail")

# 3. A learning rate by a range test: one short sweep, no grid.
test = find_learning_rate(mended, X_train, y_train)
print(f"\n{test}\nrule: {test.rule}")
tuned = mended.set_params(
    mlpclassifier__learning_rate_init=test.suggestion, mlpclassifier__max_iter=300
)
print(f"test accuracy {tuned.fit(X_train, y_train).score(X_test, y_test):.3f}")

# 4. Each check with its number, as a table to work with.
table = second.to_frame()
print(table.loc[["initial_loss", "update_size", "beats_baseline"], ["status", "number", "unit"]])

if importlib.util.find_spec("matplotlib") is None:
    print("matplotlib is not installed; no pictures.")
else:
    import matplotlib as mpl

    mpl.use("Agg")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "diagnosis.png"
        second.plot().savefig(path)
        print(f"pictures: {path.stat().st_size > 0}")
