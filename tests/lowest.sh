#!/bin/sh
# The tests on the lowest versions that pyproject.toml allows, in an environment of their own.
# torch keeps the tested pin: its lower bound has no CPU build everywhere.
set -eu
python=${PYTHON:-python3}
[ -x .venv-lowest/bin/python ] || "$python" -m venv .venv-lowest
pip="./.venv-lowest/bin/python -m pip --disable-pip-version-check --quiet"
lowest=$("$python" - <<'PROGRAM'
import re, tomllib
with open("pyproject.toml", "rb") as file:
    dependencies = tomllib.load(file)["project"]["dependencies"]
for dependency in dependencies:
    name, version = re.match(r"([\w-]+)>=([\w.]+)", dependency).groups()
    if name != "torch":
        print(f"{name}=={version}", end=" ")
PROGRAM
)
$pip install "$(grep '^torch==' constraints.txt)"
# shellcheck disable=SC2086
$pip install $lowest
$pip install -e . pytest pytest-timeout pytest-xdist hypothesis
# shellcheck disable=SC2086
$pip install $lowest
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
exec ./.venv-lowest/bin/python -m pytest -n 2 --dist loadfile "$@"
