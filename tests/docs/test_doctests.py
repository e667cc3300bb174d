"""The examples in the docstrings run, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import importlib.machinery
import pkgutil

import pytest

import mlfund

COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)  # loops in C, without a module in them
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    item.name
    for item in pkgutil.walk_packages(mlfund.__path__, "mlfund.")
    if not item.name.endswith("__main__")  # importing it would run the command
    and not item.module_finder.find_spec(item.name).origin.endswith(COMPILED)
)


@pytest.mark.parametrize("name", ["mlfund", *MODULES])
def test_examples_of_a_module_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("name", mlfund.__all__)
def test_every_public_name_has_an_example(name):
    documentation = getattr(mlfund, name).__doc__ or ""
    assert ">>> " in documentation, f"the docstring of mlfund.{name} has no example"
