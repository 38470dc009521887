"""Activations and their derivatives against automatic differentiation."""

import autograd.numpy as anp
import cases
import numpy as np
import oracles
import pytest
from autograd import elementwise_grad
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.nets.activations import ACTIVATIONS, Activation, resolve_activation

NAMES = sorted(ACTIVATIONS)
FUNCTIONS = {**oracles.ACTIVATIONS, "bump": cases.bump}
points = st.lists(st.floats(-8, 8).filter(lambda z: abs(z) > 1e-6), min_size=1, max_size=20).map(np.array)


def pieces(f, z):
    a = f.value(z)
    first = f.derivative(z, a)
    return a, first, np.zeros_like(z) if f.second_derivative is None else f.second_derivative(z, a, first)


@given(points, st.sampled_from([*NAMES, "bump"]))
def test_value_and_derivatives_are_those_of_autograd(z, name):
    f, function = resolve_activation(cases.bump if name == "bump" else name), FUNCTIONS[name]

    def truth(z):
        return function(z) + 0 * z**3  # autograd warns where a derivative does not depend on z

    a, first, second = pieces(f, z)
    np.testing.assert_allclose(a, truth(z), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(first, elementwise_grad(truth)(z), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(second, elementwise_grad(elementwise_grad(truth))(z), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_large_arguments_stay_finite(name):
    z = np.array([-1e200, -1e4, -800.0, 800.0, 1e4, 1e200])
    with np.errstate(over="ignore", invalid="raise"):
        for piece in pieces(resolve_activation(name), z):
            assert np.isfinite(piece).all()


@pytest.mark.parametrize("name", NAMES)
def test_precision_is_kept_and_arguments_left_alone(name):
    z = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    kept = z.copy()
    assert {piece.dtype for piece in pieces(resolve_activation(name), z)} == {np.dtype(np.float32)}
    assert np.array_equal(z, kept)


def test_an_activation_of_the_users_own_keeps_its_functions():
    mine = Activation("cube", lambda z: z**3, lambda z, a: 3 * z**2, lambda z, a, first: 6 * z, 1.5)
    resolved, z = resolve_activation(mine), np.array([[-1.0, 2.0]])
    assert (resolved.name, resolved.glorot_factor) == ("cube", 1.5)
    for piece, expected in zip(pieces(resolved, z), (z**3, 3 * z**2, 6 * z)):
        np.testing.assert_array_equal(piece, expected)


def test_an_activation_without_second_derivative_has_none():
    assert resolve_activation(Activation("id", lambda z: z, lambda z, a: z + 1 - z)).second_derivative is None


def test_an_activation_of_the_package_is_taken_as_it_is():
    assert resolve_activation(ACTIVATIONS["gelu"]) is ACTIVATIONS["gelu"]


def test_nothing_follows_from_the_name_of_a_function():
    def logistic(z):
        return 1 / (1 + anp.exp(-z))

    assert resolve_activation("logistic").glorot_factor == 2.0
    assert resolve_activation(logistic).glorot_factor == 6.0


def test_own_activations_have_derivatives_for_arguments_of_any_size():
    f, z = resolve_activation(lambda z: 2.0 * z), np.array([-1e200, 1e200, 1e-300])
    assert pieces(f, z)[1].tolist() == [2.0] * 3 and pieces(f, z)[2].tolist() == [0.0] * 3


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda z: z[:1], r"must have one value per argument of shape \(2, 3\); got shape \(1, 3\)"),
        (lambda z: anp.sqrt(z), "must have one value per argument for all finite arguments; got NaN"),
        (lambda z: z / {}["x"], "must have one value per argument; .* raised KeyError: 'x'"),
    ],
)
def test_a_fault_names_the_parameter_and_the_function(function, message):
    function.__name__ = "mine"
    with pytest.raises(ValueError, match="`activation` " + message) as caught:
        resolve_activation(function).value(-np.ones((2, 3)))
    assert "mine" in str(caught.value)


@pytest.mark.parametrize("order", ["a derivative", "a second derivative"])
def test_a_fault_in_a_derivative_is_named_as_such(order):
    bad = lambda *arguments: np.full(2, np.nan)  # noqa: E731
    first = bad if order == "a derivative" else lambda z, a: np.ones_like(z)
    f = resolve_activation(Activation("mine", lambda z: z, first, bad))
    with pytest.raises(ValueError, match=f"`activation` must have {order} for all .* got NaN from mine"):
        pieces(f, np.ones(2))


def test_an_overflow_on_the_way_is_no_fault():
    f = resolve_activation(lambda z: anp.exp(z) / anp.exp(z))
    assert np.isnan(f.value(np.array([1000.0]))).all()


@pytest.mark.parametrize("wrong", ["swish", None, 3])
def test_anything_else_is_refused(wrong):
    with pytest.raises(ValueError, match="`activation` must be one of .*tanh.*callable"):
        resolve_activation(wrong)


def test_a_linear_callable_has_derivatives_without_warnings():
    activation = resolve_activation(lambda z: 2 * z)
    z = np.array([[-1.0, 3.0]])
    _, first, second = pieces(activation, z)
    np.testing.assert_array_equal(first, [[2.0, 2.0]])
    np.testing.assert_array_equal(second, [[0.0, 0.0]])
