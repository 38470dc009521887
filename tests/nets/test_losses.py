"""Losses and their derivatives against automatic differentiation."""

import autograd
import autograd.numpy as anp
import cases
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from qnewton_sk.nets.losses import (
    CustomLoss,
    Huber,
    LogisticCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    resolve_loss,
)

LOSSES = {
    "log_loss": SoftmaxCrossEntropy(),
    "binary_log_loss": LogisticCrossEntropy(),
    "squared_error": SquaredError(),
    "poisson": resolve_loss("poisson"),
    "huber": Huber(),
    "own": CustomLoss(cases.log_cosh_sum),
}
TRUTHS = {**oracles.LOSSES, "own": lambda z, y: cases.log_cosh_sum(y, z)}
every_loss = pytest.mark.parametrize("name", LOSSES)


def sample(name, n, K, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    z = 2 * rng.standard_normal((n, K))
    if name == "log_loss":
        y = np.eye(K)[rng.integers(K, size=n)]
    elif name in ("binary_log_loss", "poisson"):
        y = rng.integers(2, size=(n, K))
    else:
        y = rng.standard_normal((n, K))
    return z.astype(dtype), y.astype(dtype)


@given(st.sampled_from(sorted(LOSSES)), st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))
def test_value_gradient_hessian_and_product(name, n, K, seed):
    loss, truth, (z, y) = LOSSES[name], TRUTHS[name], sample(name, n, K, seed)
    total = lambda u: anp.sum(truth(u, y))  # noqa: E731
    H = autograd.hessian(total)(z)
    H = H[np.arange(n), :, np.arange(n), :]
    v = np.random.default_rng(seed).standard_normal((n, K))
    np.testing.assert_allclose(loss.value(z, y), truth(z, y), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(loss.gradient(z, y), autograd.grad(total)(z), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(loss.full_hessian(z, y), H, rtol=1e-10, atol=1e-13)
    product = loss.curvature_product(loss.curvature(z, y), v)
    np.testing.assert_allclose(product, np.einsum("nkl,nl->nk", H, v), rtol=1e-10, atol=1e-12)


@given(
    st.sampled_from([name for name in LOSSES if LOSSES[name].is_convex]),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_what_is_called_convex_is(name, K, seed):
    z, y = sample(name, 6, K, seed)
    assert np.linalg.eigvalsh(LOSSES[name].full_hessian(z, y)).min() > -1e-14


@pytest.mark.parametrize("name", ["log_loss", "binary_log_loss"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_prediction_that_exists_serves_in_either_memory_order(name, order):
    loss, (z, y) = LOSSES[name], sample(name, 6, 3, 0)
    p = np.asarray(loss.predict(z), order=order)
    np.testing.assert_allclose(loss.gradient(z, y, p), loss.gradient(z, y), rtol=1e-14)
    np.testing.assert_allclose(loss.hessian(z, y, p), loss.hessian(z, y), rtol=1e-14)
    v = np.random.default_rng(0).standard_normal(z.shape)
    product, again = (loss.curvature_product(loss.curvature(z, y, q), v) for q in (p, None))
    np.testing.assert_allclose(product, again, rtol=1e-14)


@every_loss
def test_arguments_are_left_alone_and_precision_is_kept(name):
    loss, (z, y) = LOSSES[name], sample(name, 7, 3, 0, np.float32)
    kept = z.copy(), y.copy()
    results = [loss.value(z, y), loss.gradient(z, y), loss.hessian(z, y), loss.full_hessian(z, y)]
    assert {r.dtype for r in results} == {np.dtype(np.float32)}
    assert np.array_equal(z, kept[0]) and np.array_equal(y, kept[1])


@pytest.mark.parametrize("name", ["log_loss", "binary_log_loss"])
def test_confident_outputs_stay_finite(name):
    z, y = np.array([[900.0, -900.0], [-900.0, 900.0]]), np.eye(2)
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_array_equal(LOSSES[name].value(z, y), 0)
        np.testing.assert_array_equal(LOSSES[name].gradient(z, y), 0)
        np.testing.assert_array_equal(LOSSES[name].hessian(z, y), 0)
    assert LOSSES[name].value(z, 1 - y).min() >= 900


def test_predictions_are_the_mean_of_the_target():
    z = np.array([[0.5, -1.0, 2.0]])
    np.testing.assert_allclose(LOSSES["log_loss"].predict(z), softmax(z, axis=1))
    np.testing.assert_allclose(LOSSES["binary_log_loss"].predict(z), expit(z))
    np.testing.assert_allclose(LOSSES["poisson"].predict(z), np.exp(z))
    np.testing.assert_array_equal(LOSSES["squared_error"].predict(z), z)


def squared_error(y, z):
    return anp.sum((z - y) ** 2, axis=1)


def poisson(y, z):
    return anp.sum(anp.exp(z) - y * z, axis=1)


@pytest.mark.parametrize("function", [squared_error, poisson])
def test_nothing_follows_from_the_name_of_a_users_loss(function):
    loss = resolve_loss(function)
    assert loss.name == function.__name__
    assert not (loss.is_sum_of_squares or loss.is_convex or loss.has_diagonal_hessian)
    assert loss.min_target == -np.inf and loss.likelihood_scale(2) is None


def test_only_the_squared_error_is_a_sum_of_squares():
    assert [name for name, loss in LOSSES.items() if loss.is_sum_of_squares] == ["squared_error"]


@every_loss
def test_the_curvature_has_the_size_that_the_loss_says(name):
    loss, (z, y) = LOSSES[name], sample(name, 5, 3, 0)
    assert loss.curvature(z, y).size == 5 * loss.curvature_size(3)


@pytest.mark.parametrize("name", ["poisson", "log_loss", "binary_log_loss"])
def test_predictions_of_outputs_of_any_size_give_no_warning(name):
    z = np.array([[1e300, -1e300], [np.inf, 0.0]])
    assert np.isfinite(LOSSES[name].predict(z[:1])).all() or name == "poisson"
    LOSSES[name].predict(z)
    assert resolve_loss("poisson").predict(z).tolist() == [[np.inf, 0.0], [np.inf, 1.0]]


MESSAGES = {
    "shape": (
        lambda y, z: z,
        r"must have one value per sample of shape \(4,\); got shape \(4, 2\) from mine",
    ),
    "scalar": (lambda y, z: anp.sum(z), r"must have one value per sample of shape \(4,\); got shape \(\)"),
    "nan": (
        lambda y, z: anp.log(z[:, 0]),
        "must have one value per sample for all finite arguments; got NaN from",
    ),
    "error": (lambda y, z: z[:, 7], "must have one value per sample; mine raised IndexError"),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_fault_of_a_users_loss_names_the_parameter_and_the_function(kind):
    function, message = MESSAGES[kind]
    function.__name__ = "mine"
    with pytest.raises(ValueError, match="`loss` " + message):
        CustomLoss(function).value(-np.ones((4, 2)), np.ones((4, 2)))


def test_a_loss_without_a_gradient_at_a_point_is_named():
    z = np.zeros((3, 1))
    with pytest.raises(ValueError, match="`loss` must have a gradient for all .* got NaN from root"):
        CustomLoss(root).gradient(z, z)
    with pytest.raises(ValueError, match="`loss` must have a Hessian for all .* got NaN from root"):
        CustomLoss(root).hessian(z, z)


def root(y, z):
    return anp.sqrt(anp.sqrt((y - z)[:, 0] ** 4))


def test_derivatives_need_not_exist_where_the_loss_is_infinite():
    def barrier(y, z):
        return anp.where(z[:, 0] > 0, -anp.log(z[:, 0]), np.inf)

    z = np.array([[-1.0], [2.0]])
    gradient = CustomLoss(barrier).gradient(z, z)
    assert gradient[1, 0] == pytest.approx(-0.5)


def test_a_loss_that_overflows_on_the_way_is_not_at_fault():
    naive = CustomLoss(lambda y, z: anp.sum(anp.exp(z) / anp.exp(z), axis=1))
    assert np.isnan(naive.value(np.full((1, 1), 1000.0), np.ones((1, 1)))).all()


def test_a_users_loss_has_a_hessian_for_outputs_of_any_size():
    linear = CustomLoss(lambda y, z: anp.sum(3.0 * z, axis=1))
    z = np.array([[1e200, -1e250]])
    assert not linear.hessian(z, z).any() and (linear.gradient(z, z) == 3.0).all()


def test_names_objects_and_callables_resolve():
    assert resolve_loss("huber").name == "huber"
    assert resolve_loss(LOSSES["huber"]) is LOSSES["huber"]
    assert resolve_loss(cases.log_cosh_sum).name == "log_cosh_sum"


@pytest.mark.parametrize("wrong", ["l1", None, 3])
def test_anything_else_is_refused(wrong):
    with pytest.raises(ValueError, match="`loss` must be one of .*poisson.*callable"):
        resolve_loss(wrong)
