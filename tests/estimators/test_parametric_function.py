"""What a user can get wrong about the function and its arguments is answered in a sentence."""

import math

import numpy as np
import pytest
import torch

from mlfund import ParametricRegressor
from mlfund.estimators._parametric_function import ParametricFunction
from mlfund.losses import get_loss
from mlfund.optimizers import get_optimizer

X = np.linspace(0.1, 5, 40)[:, None]
Y = 3 * np.exp(-1.2 * X[:, 0]) + 0.01 * np.cos(30 * X[:, 0])


def decay(x, a=1.0, b=1.0, c=0.0, shape="exponential"):
    return a * torch.exp(-b * x) + c if shape == "exponential" else a / (1 + b * x) + c


def fit(function, **parameters):
    return ParametricRegressor(function, **parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (lambda x, a, b: a * np.exp(-b * x), "torch.exp for np.exp"),
        (lambda x, a, b: a * b * np.exp(x), "torch.exp for np.exp"),
        (lambda x, a, b: a * b * x * np.ones(40), "torch.as_tensor for arrays"),
        (lambda x, a, b: a * math.exp(-b) * x, "use torch's function"),
        (lambda x, a, b: a * torch.exp(-b.item() * x), "use torch's function"),
        (lambda x, a, b: a * b * math.exp(x), "a column into a single number.*torch.exp"),
        (lambda x, a, b: a if x > 1 else b * x, "a column into a single number.*torch.where"),
    ],
    ids=["parameter", "x", "array", "math", "item", "math of x", "if"],
)
def test_leaving_torch_is_answered_with_what_to_use(function, advice):
    with pytest.raises(TypeError, match=advice) as caught:
        fit(function)
    assert "start values a=1, b=1" in caught.value.__notes__[0]


def test_constants_of_numpy_and_math_are_fine():
    model = fit(lambda x, a, b: a * np.sqrt(4.0) * torch.exp(-b * math.pi * x))

    assert 2 * model.parameters_["a"] == pytest.approx(3, rel=0.01)
    assert math.pi * model.parameters_["b"] == pytest.approx(1.2, rel=0.01)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x, a: (a * x)[:, None], ValueError, r"shape \(40,\).*got shape \(40, 1\)"),
        (lambda x, a: (a * x)[:3], ValueError, r"got shape \(3,\)"),
        (lambda x, a: 3.0, TypeError, "must return a tensor of shape.*got float"),
        (lambda x, a: a * torch.exp(1j * x), TypeError, "real numbers; got a tensor of.*complex"),
        (lambda x, a: a * torch.log(-x), ValueError, "40 values that are NaN.*a=1.*row 0"),
        (lambda x, a: x * a.detach(), ValueError, "no gradient by any of its parameters a"),
        (lambda x, a: torch.round(a * x), ValueError, "is flat at the start a=1"),
        (lambda x, a: a * x.mul_(2), ValueError, "changes x in place"),
        (lambda x: x, ValueError, "no parameters to fit"),
        (lambda: 1, ValueError, "x as its first argument"),
        (lambda x, *p: x, ValueError, r"takes \*p by position"),
        ("decay", TypeError, "must be callable"),
    ],
)
def test_functions_that_cannot_be_fitted(function, error, words):
    with pytest.raises(error, match=words):
        fit(function)


def test_an_error_inside_the_function_is_told_with_the_start():
    def function(x, a):
        return a @ x

    with pytest.raises(RuntimeError) as caught:
        fit(function)
    assert "Raised in function, called with x of shape (40,)" in caught.value.__notes__[0]
    assert "(n,) for one column of X" in caught.value.__notes__[0]


def test_an_ignored_parameter_is_named():
    with pytest.warns(UserWarning, match="ignores unused: nothing"):
        model = fit(lambda x, a, b, unused=7.0: a * torch.exp(-b * x))

    assert model.parameters_["unused"] == 7
    assert np.isnan(model.parameter_table_["standard_error"]["unused"])
    assert model.parameters_["a"] == pytest.approx(3, rel=0.01)


def test_starts_come_from_dict_signature_and_one():
    starts = {}

    def function(x, a, b=2.0, *, c=3.0, kind="plain", flag=True, nothing=None):
        assert (kind, flag, nothing) == ("plain", True, None)
        if not starts:
            starts.update(a=float(a.detach()), b=float(b.detach()), c=float(c.detach()))
        return a * torch.exp(-b * x) + c

    model = ParametricRegressor(function, start={"b": 5.0})
    with pytest.raises(TypeError, match="plain number"):
        # noted down in the function by float(), on purpose: only the starts are of interest
        ParametricRegressor(lambda x, a: float(a) * x).fit(X, Y)
    model.fit(X, Y)

    assert starts == {"a": 1.0, "b": 5.0, "c": 3.0}
    assert list(model.parameters_) == ["a", "b", "c"]


def test_arrays_and_named_extras_are_parameters():
    columns = np.random.default_rng(0).standard_normal((40, 3))
    y = columns @ [1.0, -2.0, 0.5] + 4

    model = ParametricRegressor(
        lambda x, **p: x @ p["w"] + p["b"], start={"w": np.zeros(3), "b": 0}
    ).fit(columns, y)

    np.testing.assert_allclose(model.parameters_["w"], [1, -2, 0.5], atol=1e-12)
    assert list(model.parameter_table_.index) == ["w[0]", "w[1]", "w[2]", "b"]


def test_x_is_a_float64_tensor_of_one_or_two_axes():
    seen = []

    def function(x, a):
        seen.append((x.dtype, tuple(x.shape), a.dtype, a.ndim))
        return a * (x if x.ndim == 1 else x[:, 0])

    ParametricRegressor(function).fit(X.astype(np.float32), Y)
    ParametricRegressor(function).fit(np.hstack([X, X]), Y)

    assert (torch.float64, (40,), torch.float64, 0) in seen
    assert (torch.float64, (40, 2), torch.float64, 0) in seen
    assert len(set(seen)) == 2


def test_options_stay_as_partial_sets_them():
    import functools

    other = functools.partial(decay, shape="hyperbolic")
    assert fit(other).loss_ != fit(decay).loss_


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"start": {"hight": 1.0}}, "start names 'hight'.*its parameters are 'a', 'b', 'c'"),
        ({"start": {"a": np.nan}}, "start value of 'a' must be finite"),
        ({"start": {"a": "one"}}, "start value of 'a' must be a number"),
        ({"bounds": {"A": (0, 1)}}, "bounds names 'A'.*Did you mean 'a'"),
        ({"bounds": {"a": 3}}, r"bounds\['a'\] must be a pair"),
        ({"bounds": {"a": (2, 1)}}, "must be low <= high"),
        ({"bounds": {"a": (2, 3)}}, "start value of 'a', 1, lies outside"),
        ({"loss": "rms"}, "loss='rms' is not known.*'rmse'"),
        ({"loss": get_loss("poisson")}, "'poisson' is for nonnegative targets"),
        ({"loss": None}, "loss=None is not known; allowed are 'mse'"),
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"optimizer": None}, "optimizer=None is not known; allowed are 'auto', 'sgd'"),
        ({"optimizer": "adam", "scale_parameters": "yes"}, "scale_parameters='yes' is not known"),
        ({"schedule": "cosine"}, "schedule='cosine' contradicts optimizer='auto'"),
        ({"learning_rate_init": 0.1}, "contradicts optimizer='auto'"),
        ({"polish": False}, "polish=False contradicts optimizer='auto'"),
        ({"optimizer": "adam", "learning_rate_init": -1}, "learning_rate_init must be"),
        ({"optimizer": "adam", "batch_size": 0}, "batch_size must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"tol": -1}, "tol must be"),
        ({"n_restarts": 1.5}, "n_restarts must be"),
        ({"precision": "float16"}, "precision='float16' is not known"),
        ({"device": "tpu"}, "device='tpu' is not known"),
    ],
)
def test_arguments_out_of_range(parameters, words):
    with pytest.raises(ValueError, match=words):
        fit(decay, **parameters)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"start": [1.0, 2.0]},
            r"start must be a dict.*such as \{'a': 1.0\}; got list",
        ),
        ({"bounds": ([0, 0, 0], [1, 1, 1])}, r"bounds must be a dict.*\(0, None\)\}; got tuple"),
    ],
)
def test_values_by_position_are_refused(parameters, words):
    with pytest.raises(TypeError, match=words):
        fit(decay, **parameters)


def test_a_branch_without_parameters_has_no_derivative():
    function = ParametricFunction(lambda x, a: a * x if a > 0 else 0 * x, None)
    x = torch.arange(3.0)
    for a, slopes in ((2.0, [0, 1, 2]), (-2.0, [0, 0, 0])):
        assert function.jacobian(x, torch.tensor([a])).ravel().tolist() == slopes


def test_a_start_that_nobody_gave_moves_into_its_bounds():
    model = fit(lambda x, a, b: a * torch.exp(-b * x), bounds={"a": (2, 10)})
    assert model.parameters_["a"] == pytest.approx(3, rel=0.01)


def test_y_whose_squares_overflow_is_refused():
    with pytest.raises(ValueError, match="y is too large for float32"):
        ParametricRegressor(decay, precision="float32").fit(X, 1e25 * Y)


def test_weights_must_leave_rows():
    with pytest.raises(ValueError, match="at least one non-zero"):
        ParametricRegressor(decay).fit(X, Y, sample_weight=np.zeros(40))
    with pytest.raises(ValueError, match="Negative"):
        ParametricRegressor(decay).fit(X, Y, sample_weight=-np.ones(40))


def test_an_instance_of_an_optimizer_brings_its_options():
    model = fit(decay, optimizer=get_optimizer("momentum", momentum=0.5), max_iter=50)
    assert model.solver_ == "momentum + levenberg-marquardt"
