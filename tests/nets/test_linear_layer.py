"""Gradients per sample from one backward pass: equal to a pass per sample, and refused where they cannot be had."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad, hessian
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.nets import linear_layer, parameter_leaves, sample_gradients


def attention_losses(params, X, y):
    """A net with a shared layer, positions along a middle axis, and a parameter outside the linear layers."""
    hidden = anp.tanh(linear_layer(X, params["in"][0], params["in"][1]) + params["offset"])
    hidden = anp.tanh(linear_layer(hidden, params["shared"]["w"]))
    hidden = anp.tanh(linear_layer(hidden, params["shared"]["w"]))
    scores = anp.matmul(hidden, anp.swapaxes(hidden, -1, -2))
    mixed = anp.matmul(scores, hidden)
    return anp.mean((linear_layer(mixed, params["out"]["w"], params["out"]["b"])[..., 0] - y) ** 2, axis=1)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    params = {
        "in": [rng.standard_normal((3, 4)), rng.standard_normal(4)],
        "shared": {"w": rng.standard_normal((4, 4)) / 2},
        "out": {"w": rng.standard_normal((4, 1)), "b": np.zeros(1)},
        "offset": rng.standard_normal(4),
    }
    return params, rng.standard_normal((5, 6, 3)), rng.standard_normal((5, 6))


def single(params, X, y, b):
    return dict(parameter_leaves(grad(lambda p: attention_losses(p, X[b : b + 1], y[b : b + 1])[0])(params)))


def test_gradients_per_sample_equal_those_of_single_samples(problem):
    params, X, y = problem
    values, _, gradients = sample_gradients(attention_losses, params, X, y)
    np.testing.assert_allclose(values, attention_losses(params, X, y), rtol=1e-14)
    for b in range(len(X)):
        alone = single(params, X, y, b)
        for path in gradients:
            scale = np.abs(alone[path]).max()
            np.testing.assert_allclose(gradients[path][b], alone[path].ravel(), rtol=0, atol=1e-12 * scale)


def test_every_array_of_a_linear_layer_is_recorded_and_no_other(problem):
    params, X, y = problem
    gradients = sample_gradients(attention_losses, params, X, y)[2]
    assert set(gradients) == {path for path, _ in parameter_leaves(params)} - {("offset",)}
    assert {path: gradients.size(path) for path in gradients} == {
        path: gradients[path].shape[1] for path in gradients
    }


def test_gradient_is_that_of_the_mean(problem):
    params, X, y = problem
    gradient = sample_gradients(attention_losses, params, X, y)[1]
    wanted = dict(parameter_leaves(grad(lambda p: anp.mean(attention_losses(p, X, y)))(params)))
    for path, array in parameter_leaves(gradient):
        np.testing.assert_allclose(array, wanted[path], rtol=1e-12, atol=1e-14)


def test_no_pass_records_outside_sample_gradients(problem):
    params, X, y = problem
    first = sample_gradients(attention_losses, params, X, y)[2]
    before = {path: first[path] for path in first}
    grad(lambda p: anp.mean(attention_losses(p, 2 * X, y)))(params)
    assert all((first[path] == before[path]).all() for path in first)


def test_a_layer_can_be_differentiated_twice():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((4, 2)), rng.standard_normal(4)
    H = hessian(lambda w: anp.sum((linear_layer(X, anp.reshape(w, (2, 1)))[:, 0] - y) ** 2))(np.zeros(2))
    np.testing.assert_allclose(H, 2 * X.T @ X, rtol=1e-13)


@pytest.mark.parametrize("factor", [100.0, 1.0, 0.05])
def test_a_weight_that_is_used_elsewhere_is_refused(problem, factor):
    params, X, y = problem

    def tied(p, X, y):
        return attention_losses(p, X, y) + factor * anp.sum(p["in"][0] ** 2)

    with pytest.raises(ValueError, match=r"\('in', 0\).*`linear_layer` alone"):
        sample_gradients(tied, params, X, y)


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 200), st.integers(1, 40))
def test_rounding_in_single_precision_is_no_other_use(seed, n_in, n_out, n):
    rng = np.random.default_rng(seed)
    X, W = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, 5, n_in), (n_in, n_out)))

    def losses(p, X):
        return anp.mean(anp.tanh(0.1 * linear_layer(X, p["w"])) ** 2, axis=(1, 2))

    _, gradient, samples = sample_gradients(losses, {"w": W}, X)
    mean = samples["w",].mean(axis=0).reshape(W.shape)
    np.testing.assert_allclose(mean, gradient["w"], atol=1e-4 * np.abs(mean).max())


def test_long_sums_in_single_precision_are_no_other_use():
    """Most pixels of a page are white, so that all terms of the sums have one sign."""
    rng = np.random.default_rng(0)
    X = (rng.uniform(size=(400, 784, 9)) > 0.05).astype(np.float32)
    W = rng.standard_normal((9, 8)).astype(np.float32)

    def losses(p, X):
        return anp.mean(anp.tanh(linear_layer(X, p["w"])), axis=(1, 2))

    assert ("w",) in sample_gradients(losses, {"w": W}, X)[2]


def test_one_array_may_be_the_weight_of_a_layer_and_the_bias_of_another():
    rng = np.random.default_rng(0)
    X, params = rng.standard_normal((5, 1)), {"w": rng.standard_normal((1, 3)), "v": np.ones((3, 3))}

    def losses(p, X):
        return anp.sum(linear_layer(anp.tanh(linear_layer(X, p["w"])), p["v"], p["w"]) ** 2, axis=1)

    samples = sample_gradients(losses, params, X)[2]
    truth = [grad(lambda p, x=x: losses(p, x[None])[0])(params)["w"].ravel() for x in X]
    np.testing.assert_allclose(samples["w",], truth, rtol=1e-12)


def test_a_transformed_weight_is_left_out(problem):
    _, X, _ = problem
    params = {"w": np.ones((1, 3))}
    gradients = sample_gradients(lambda p, X: anp.sum(linear_layer(X, p["w"].T)[..., 0], axis=1), params, X)[
        2
    ]
    assert len(gradients) == 0


def test_losses_that_are_not_one_per_sample_are_refused(problem):
    params, X, y = problem
    with pytest.raises(ValueError, match="one loss per sample"):
        sample_gradients(lambda p, X, y: anp.mean(attention_losses(p, X, y)), params, X, y)
    with pytest.raises(ValueError, match="one loss per sample"):
        sample_gradients(lambda p, X, y: attention_losses(p, X, y)[:3], params, X, y)


def test_single_precision_stays_single(problem):
    params, X, y = problem
    params = {"w": params["in"][0].astype(np.float32), "b": params["in"][1].astype(np.float32)}

    def losses(p, X):
        outputs = linear_layer(X, p["w"], p["b"])
        return anp.sum(outputs * outputs, axis=(1, 2))

    values, gradient, gradients = sample_gradients(losses, params, X.astype(np.float32))
    assert {values.dtype, gradient["w"].dtype, gradients["w",].dtype} == {np.dtype(np.float32)}
