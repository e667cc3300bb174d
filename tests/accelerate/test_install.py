"""Names of scikit-learn are replaced and given back."""

import sys
from types import ModuleType

import pytest
import sklearn.linear_model
from sklearn.linear_model import _logistic

from mlfund import accelerate
from mlfund.accelerate._patch import REPLACED

PLACES = [(module, name) for module, name, _ in REPLACED]


def exported():
    return {place: getattr(sys.modules[place[0]], place[1]) for place in PLACES}


def test_every_name_is_replaced_by_a_subclass_and_restored():
    with accelerate.install(quiet=True):
        during = exported()
    after = exported()
    for place, original in after.items():
        assert during[place] is not original
        assert issubclass(during[place], original)
        assert during[place].__name__ == original.__name__
        assert during[place].__module__ == original.__module__
        assert during[place].__doc__ == original.__doc__
        # what scikit-learn's own modules hold was never touched
        assert getattr(sys.modules[original.__module__], original.__name__) is original


def test_install_and_uninstall_without_a_block():
    before = exported()
    acceleration = accelerate.install(quiet=True)
    assert exported() != before
    assert str(acceleration) == accelerate.report()
    accelerate.uninstall()
    assert exported() == before
    with pytest.raises(RuntimeError, match=r"call mlfund\.accelerate\.install\(\) first"):
        accelerate.report()


def test_a_block_ends_only_what_it_began():
    before = exported()
    accelerate.install(quiet=True)
    with accelerate.install(quiet=True):
        assert exported() != before
    assert exported() != before
    accelerate.uninstall()
    assert exported() == before


def test_an_error_in_the_block_restores_too():
    before = exported()
    with pytest.raises(ZeroDivisionError), accelerate.install(quiet=True):
        _ = 1 / 0
    assert exported() == before


def test_extension_of_ipython(capsys):
    before = exported()
    accelerate.load_ipython_extension(None)
    assert exported() != before
    accelerate.unload_ipython_extension(None)
    assert exported() == before


def test_a_module_that_imported_before_is_named(monkeypatch, capsys):
    early = ModuleType("early")
    early.Renamed = _logistic.LogisticRegression
    monkeypatch.setitem(sys.modules, "early", early)
    with accelerate.install():
        assert early.Renamed is _logistic.LogisticRegression
    said = capsys.readouterr().err
    assert "early imported LogisticRegression before" in said
    assert "sklearn.ensemble" not in said


def test_names_that_another_package_replaced_are_left_alone(monkeypatch, capsys):
    class LogisticRegression:
        pass

    monkeypatch.setattr(sklearn.linear_model, "LogisticRegression", LogisticRegression)
    with accelerate.install():
        assert sklearn.linear_model.LogisticRegression is LogisticRegression
    assert sklearn.linear_model.LogisticRegression is LogisticRegression
    assert "was left alone" in capsys.readouterr().err


def test_names_that_another_package_replaced_later_are_left_alone(monkeypatch):
    with accelerate.install(quiet=True):
        monkeypatch.setattr(sklearn.linear_model, "LogisticRegression", int)
    assert sklearn.linear_model.LogisticRegression is int
    monkeypatch.setattr(sklearn.linear_model, "LogisticRegression", _logistic.LogisticRegression)
