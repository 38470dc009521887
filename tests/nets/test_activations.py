"""Activations and their derivatives against automatic differentiation."""

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
    slope = f.slope(z, a)
    return a, slope, np.zeros_like(z) if f.bend is None else f.bend(z, a, slope)


@given(points, st.sampled_from([*NAMES, "bump"]))
def test_value_slope_and_bend(z, name):
    f, function = resolve_activation(cases.bump if name == "bump" else name), FUNCTIONS[name]

    def truth(z):
        return function(z) + 0 * z**3  # autograd warns where a derivative does not depend on z

    a, slope, bend = pieces(f, z)
    np.testing.assert_allclose(a, truth(z), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slope, elementwise_grad(truth)(z), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(bend, elementwise_grad(elementwise_grad(truth))(z), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_large_arguments_stay_finite(name):
    z = np.array([-1e4, -800.0, 800.0, 1e4])
    with np.errstate(over="raise", invalid="raise"):
        for piece in pieces(resolve_activation(name), z):
            assert np.isfinite(piece).all()


@pytest.mark.parametrize("name", NAMES)
def test_precision_is_kept_and_arguments_left_alone(name):
    z = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    kept = z.copy()
    assert {piece.dtype for piece in pieces(resolve_activation(name), z)} == {np.dtype(np.float32)}
    assert np.array_equal(z, kept)


def test_an_activation_is_taken_as_it_is():
    mine = Activation("cube", lambda z: z**3, lambda z, a: 3 * z**2, lambda z, a, slope: 6 * z)
    assert resolve_activation(mine) is mine


@pytest.mark.parametrize("wrong", ["swish", None, 3])
def test_anything_else_is_refused(wrong):
    with pytest.raises(ValueError, match="`activation` must be one of .*tanh.*callable"):
        resolve_activation(wrong)


def test_a_linear_callable_has_derivatives_without_warnings():
    activation = resolve_activation(lambda z: 2 * z)
    z = np.array([[-1.0, 3.0]])
    slope = activation.slope(z, 2 * z)
    np.testing.assert_array_equal(slope, [[2.0, 2.0]])
    np.testing.assert_array_equal(activation.bend(z, 2 * z, slope), [[0.0, 0.0]])
