"""Argument checks and the wording of their errors."""

import warnings

import numpy as np
import pytest
import torch

from mlfund._check import (
    check_choice,
    check_fraction,
    check_positive,
    limited_threads,
    nearest,
    preserved_torch_state,
    require,
    resolve_device,
    seed_from,
    stacklevel_outside,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("incom", "income"), ("INCOME", "income"), ("capital gain", "capital-gain"), ("zzz", None)],
)
def test_nearest(given, expected):
    assert nearest(given, ["income", "capital-gain", "age"]) == expected


def test_check_choice_returns_the_value():
    assert check_choice("solver", "adam", ["adam", "sgd"]) == "adam"
    assert check_choice("shuffle", True, [True, False]) is True


def test_check_choice_does_not_take_one_for_true():
    with pytest.raises(ValueError, match="shuffle=1 is not known; allowed are True, False"):
        check_choice("shuffle", 1, [True, False])


def test_check_choice_suggests():
    with pytest.raises(ValueError, match=r"Did you mean 'adam'\?"):
        check_choice("solver", "adm", ["adam", "sgd"])


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, "1", True, None])
def test_check_positive_refuses(value):
    with pytest.raises(ValueError, match="alpha must be a finite number greater than 0; got"):
        check_positive("alpha", value)


def test_check_positive_variants():
    assert check_positive("n", np.int64(3), integer=True) == 3
    assert check_positive("alpha", 0.0, zero=True) == 0.0
    with pytest.raises(ValueError, match="n must be an integer at least 0; got "):
        check_positive("n", 1.5, integer=True, zero=True)


@pytest.mark.parametrize("value", [0, 1, -0.5, "0.1", True])
def test_check_fraction_refuses(value):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        check_fraction("validation_fraction", value)


def test_require_names_the_extra():
    with pytest.raises(ImportError, match=r"pip install 'mlfund\[vision\]'"):
        require("a_module_that_is_not_there", "vision")
    assert require("json", "text").__name__ == "json"


def test_seed_from_is_reproducible_and_advances_an_instance():
    assert seed_from(3) == seed_from(3)
    state = np.random.RandomState(0)
    assert seed_from(state) != seed_from(state)


def test_resolve_device():
    assert resolve_device(None) == torch.device("cpu")
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(ValueError, match="device='gpu' is not known; allowed are 'cpu'"):
        resolve_device("gpu")
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match="is not here: torch"):
        resolve_device(missing)


def test_preserved_torch_state():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()

    with preserved_torch_state():
        torch.rand(10)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(threads + 1)

    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(1), expected)


def test_limited_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with limited_threads(10):
            assert torch.get_num_threads() == 1
        with limited_threads(1e9):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_line_of_a_user_is_found_behind_the_wrappers_of_torch():
    # As a function of mlfund would be, which torch wraps.
    inner = {"__name__": "mlfund.inner", "stacklevel_outside": stacklevel_outside}
    exec("def warn(warnings):\n    warnings.warn('cut', stacklevel=stacklevel_outside())", inner)
    wrapped = torch.inference_mode()(torch.no_grad()(inner["warn"]))
    with pytest.warns(UserWarning, match="cut") as caught:
        wrapped(warnings)
    assert caught[0].filename == __file__
