"""Posteriors against dense algebra and sampling; predictions averaged over them."""

from dataclasses import replace

import autograd
import numpy as np
import pytest
from cases import Case
from oracles import Truth
from scipy.integrate import quad
from scipy.special import expit, softmax

from qnewton_sk import QNewtonClassifier
from qnewton_sk.inference import (
    DensePrecision,
    LowRankPrecision,
    averaged_logits,
    posterior_bytes,
    posterior_of,
    sampled,
    standard_deviation,
)
from qnewton_sk.inference import precision as precision_module
from qnewton_sk.inference.expected import expected_logistic_curvature
from qnewton_sk.inference.posterior import output_rows
from qnewton_sk.inference.precision import jacobian
from qnewton_sk.nets import Objective, resolve_loss

CASES = [
    Case("squares", (3, 4, 2), ("tanh",), n=40),
    Case("few rows", (3, 8, 2), ("tanh",), n=6, weights="random"),
    Case("softmax", (3, 4, 3), ("tanh",), "log_loss", n=40),
    Case("softmax, weights", (3, 4, 3), ("tanh",), "log_loss", n=40, weights="random"),
    Case("softmax, few rows", (3, 8, 3), ("tanh",), "log_loss", n=6),
    Case("labels", (3, 4, 2), ("tanh",), "binary_log_loss", n=40),
    Case("poisson", (3, 4, 1), ("softplus",), "poisson", n=40),
]
NAMES = [case.name for case in CASES]


def parts(case, alpha=0.3):
    """Objective, theta and a prior on all parameters."""
    data = case.data()
    truth = Truth(case)
    network = case.network() if hasattr(case, "network") else case.objective().network
    objective = Objective(network, data.X, data.y, data.sample_weight)
    theta = network.initial(np.random.RandomState(0))
    return objective, theta, np.full(network.n_params, alpha), truth


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_output_jacobian_is_that_of_autograd(case):
    objective, theta, _, truth = parts(case)
    J = autograd.jacobian(truth.raw)(theta)
    mine = jacobian(output_rows(objective.network, truth.X, theta)).reshape(*J.transpose(1, 0, 2).shape)
    np.testing.assert_allclose(mine, J.transpose(1, 0, 2), rtol=1e-9, atol=1e-12)


def expected_covariance(case, kind, beta):
    """J A^-1 J^T by dense algebra on the curvature from automatic differentiation."""
    if case.loss in CURVATURE and kind != "last_layer":
        return covariance_around(case, kind)
    objective, theta, prior, truth = parts(case)
    K = case.widths[-1]
    scale = {"squared_error": K, "poisson": K}.get(case.loss, 1) * truth.total
    without = truth.gauss_newton(theta) - truth._penalty_matrix()
    A = beta * scale * without + beta * scale / truth.total * np.diag(prior)
    slices = objective.network.layer_slices
    blocks = {"full": [slice(None)], "layer": slices, "last_layer": slices[-1:]}[kind]
    J = autograd.jacobian(truth.raw)(theta)
    return sum(np.einsum("nka,ab,nlb->nkl", J[:, :, s], np.linalg.inv(A[s, s]), J[:, :, s]) for s in blocks)


def softmax_curvature(z):
    p = softmax(z, axis=-1)
    return np.einsum("...k,kl->...kl", p, np.eye(p.shape[-1])) - p[..., :, None] * p[..., None, :]


def logistic_curvature(z):
    return (expit(z) * expit(-z))[..., None] * np.eye(z.shape[-1])


CURVATURE = {"log_loss": softmax_curvature, "binary_log_loss": logistic_curvature}


def covariance_around(case, kind, draws=40000):
    """The same with the curvature of classes averaged over draws from the Laplace posterior, sample by sample."""
    objective, theta, prior, truth = parts(case)
    J = autograd.jacobian(truth.raw)(theta)
    slices = objective.network.layer_slices
    blocks = {"full": [slice(None)], "layer": slices}[kind]
    weight = truth.weights * truth.total

    def covariance(curvature):
        found = 0.0
        for s in blocks:
            A = np.einsum("n,nka,nkl,nlb->ab", weight, J[:, :, s], curvature, J[:, :, s]) + np.diag(prior[s])
            found = found + np.einsum("nka,ab,nlb->nkl", J[:, :, s], np.linalg.inv(A), J[:, :, s])
        return found

    raw = truth.raw(theta)
    laplace = covariance(CURVATURE[case.loss](raw))
    rng = np.random.default_rng(0)
    averages = [
        CURVATURE[case.loss](rng.multivariate_normal(z, C, draws)).mean(axis=0) for z, C in zip(raw, laplace)
    ]
    return covariance(np.array(averages))


@pytest.mark.parametrize("kind", ["full", "layer", "last_layer"])
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_covariances_of_outputs_are_those_of_dense_algebra(case, kind):
    objective, theta, prior, truth = parts(case)
    is_squares = case.loss == "squared_error"
    beta = 2.5 if is_squares else 1.0
    posterior = posterior_of(objective, theta, prior, kind, beta)
    mean, covariance = posterior.covariances(objective.network, truth.X)
    np.testing.assert_allclose(mean, truth.raw(theta), rtol=1e-12)
    averaged = case.loss in CURVATURE and kind != "last_layer"
    exact = expected_covariance(case, kind, beta)
    rtol, atol = (0.01, 1e-3 * np.abs(exact).max()) if averaged else (1e-7, 1e-10)
    np.testing.assert_allclose(covariance, exact, rtol=rtol, atol=atol)
    assert posterior.noise_variance == (pytest.approx(0.4) if is_squares else None)
    assert posterior.added == 0


def direct(precision, J, K):
    """J_n A^-1 J_n^T from the inverse, for Jacobians of shape (K n, N)."""
    J = J.reshape(K, -1, J.shape[1])
    return np.einsum("knp,pq,lnq->nkl", J, precision.solve(np.eye(J.shape[2])), J)


@pytest.mark.parametrize("layer", [None, 0, 1])
def test_many_outputs_are_contracted_with_the_inverse(monkeypatch, layer):
    rng = np.random.default_rng(0)
    network = Case("softmax", (6, 5, 4), ("tanh",), "log_loss", n=3).objective().network
    X, theta = rng.standard_normal((200, 6)), network.initial(np.random.RandomState(0))
    rows = output_rows(network, X, theta)
    rows = rows if layer is None else [rows[layer]]
    G = rng.standard_normal((99, jacobian(rows).shape[1]))
    precision = DensePrecision(G.T @ G, np.full(G.shape[1], 0.1))
    contracted, calls = DensePrecision._contracted, []
    monkeypatch.setattr(DensePrecision, "_contracted", lambda *a: calls.append(a) or contracted(*a))
    monkeypatch.setattr(precision_module, "CONTRACTED_BYTES", 2**14)
    found = precision.covariances(rows)
    assert len(calls) == 1
    np.testing.assert_allclose(found, direct(precision, jacobian(rows), 4), rtol=1e-9, atol=1e-12)
    precision.covariances([part.samples(slice(3)) for part in rows])  # the inverse would cost more
    uneven = DensePrecision(G.T @ G, np.geomspace(1e-1, 1e12, G.shape[1]))  # its entries cancel
    uneven.covariances(rows)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["dense", "low rank"])
def test_batches_of_samples_do_not_matter(monkeypatch, kind):
    rng = np.random.default_rng(1)
    network = Case("squares", (3, 4, 2), ("tanh",), "squared_error", n=3).objective().network
    rows = output_rows(network, rng.standard_normal((30, 3)), network.initial(np.random.RandomState(0)))
    G, prior = rng.standard_normal((5, network.n_params)), rng.uniform(0.1, 1, network.n_params)
    prior[-2:] = 0.0
    precision = DensePrecision(G.T @ G, prior) if kind == "dense" else LowRankPrecision(G, prior)
    whole = precision.covariances(rows)
    np.testing.assert_allclose(whole, direct(precision, jacobian(rows), 2), rtol=1e-8)
    monkeypatch.setattr(precision_module, "JACOBIAN_BYTES", 8 * 2 * network.n_params * 7)
    np.testing.assert_allclose(precision.covariances(rows), whole, rtol=1e-12)


def test_variances_beyond_the_range_are_infinite():
    network = Case("squares", (3, 4, 2), ("tanh",), "squared_error", n=3).objective().network
    rows = output_rows(network, np.ones((1, 3)), network.initial(np.random.RandomState(0)))
    precision = LowRankPrecision(jacobian(rows), np.ones(network.n_params))
    far = [replace(layer, inputs=np.full_like(layer.inputs, 1e200)) for layer in rows]
    assert np.isposinf(np.einsum("nkk->nk", precision.covariances(far))).all()


@pytest.mark.parametrize("case", CASES[:2], ids=NAMES[:2])
def test_draws_have_the_covariances(case):
    objective, theta, prior, truth = parts(case)
    posterior = posterior_of(objective, theta, prior, "full", 2.0)
    draws = posterior.draws(objective.network, truth.X, 20000, np.random.RandomState(0))
    mean, covariance = posterior.covariances(objective.network, truth.X)
    centred = draws - mean[:, :, None]
    np.testing.assert_allclose(
        np.einsum("nki,nli->nkl", centred, centred) / 20000, covariance, atol=0.04 * covariance.max()
    )


def test_noise_of_a_fit_is_unbiased():
    """The residual sum of squares over n - p, for a linear net without a penalty."""
    rng = np.random.default_rng(0)
    case = Case("linear", (3, 1), n=30)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal((30, 1))
    objective = Objective(parts(case)[0].network, X, y)
    solution, residuals, *_ = np.linalg.lstsq(np.hstack([X, np.ones((30, 1))]), y, rcond=None)
    posterior = posterior_of(objective, solution[:, 0], np.zeros(4), "full")
    assert posterior.effective == pytest.approx(4)
    assert posterior.noise_variance == pytest.approx(residuals[0] / 26)


@pytest.mark.parametrize("mean, variance", [(0.0, 2.0), (1.5, 0.5), (-2.0, 4.0), (3.0, 9.0)])
def test_averaged_logistic_is_close_to_the_integral(mean, variance):
    z = mean + np.sqrt(variance) * np.random.default_rng(0).standard_normal(400000)
    p = expit(averaged_logits(np.array([[mean]]), np.array([[variance]])))
    assert p[0, 0] == pytest.approx(expit(z).mean(), abs=0.02)


def test_averaged_softmax_ignores_a_common_shift_and_moves_towards_uniform():
    mean, C = np.array([[2.0, 0.0, -1.0]]), np.diag([1.0, 2.0, 0.5])[None]
    averaged = softmax(averaged_logits(mean, C), axis=1)
    shifted = softmax(averaged_logits(mean + 5, C + 7.0), axis=1)
    np.testing.assert_allclose(averaged, shifted, rtol=1e-12)
    z = np.random.default_rng(0).multivariate_normal(mean[0], C[0], 200000)
    exact = softmax(z, axis=1).mean(axis=0)
    assert np.abs(averaged - exact).max() < np.abs(softmax(mean, axis=1) - exact).max()
    np.testing.assert_allclose(
        softmax(averaged_logits(mean, np.zeros_like(C)), axis=1), softmax(mean, axis=1), rtol=1e-12
    )


def test_poisson_deviation_is_that_of_draws():
    loss = resolve_loss("poisson")
    mean, variance = np.array([[0.7]]), np.array([[0.2]])
    rng = np.random.RandomState(0)
    z = 0.7 + np.sqrt(0.2) * rng.standard_normal((1, 1, 400000))
    new = sampled(loss, z, None, rng)
    assert standard_deviation(loss, mean, variance, None)[0, 0] == pytest.approx(new.std(), rel=0.01)
    of_mean = standard_deviation(loss, mean, variance, None, of_mean=True)
    assert of_mean[0, 0] == pytest.approx(np.exp(z).std(), rel=0.01)


def test_memory_of_a_posterior_grows_with_what_it_holds():
    network = parts(Case("wide", (30, 40, 1), ("tanh",)))[0].network
    full, layer, last = (posterior_bytes(network, 10**6, kind) for kind in ("full", "layer", "last_layer"))
    assert full > layer > last
    assert full >= 8 * network.n_params**2
    assert posterior_bytes(network, 10, "full") < full / 50


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_averaged_softmax_is_that_of_many_draws(n_classes):
    rng = np.random.default_rng(n_classes)
    mean, root = rng.normal(0, 2, n_classes), rng.standard_normal((n_classes, n_classes))
    C = root @ root.T
    exact = softmax(rng.multivariate_normal(mean, C, 200000), axis=1).mean(axis=0)
    averaged = softmax(averaged_logits(mean[None], C[None]), axis=1)[0]
    np.testing.assert_allclose(averaged, exact, atol=0.02)


@pytest.mark.parametrize(
    "mean, deviation", [(0.0, 1.0), (4.0, 3.0), (4.0, 6.0), (30.0, 30.0), (10.0, 1e3), (0.0, 1e6)]
)
def test_expected_curvature_of_a_logistic_output_is_the_integral(mean, deviation):
    def density(z):
        return expit(z) * expit(-z) * np.exp(-(((z - mean) / deviation) ** 2) / 2)

    exact = quad(density, -60, 60, points=[0, 4], limit=200)[0] / (np.sqrt(2 * np.pi) * deviation)
    found = expected_logistic_curvature(np.array([[mean, 0.0]]), np.array([[deviation**2, 0.0]]))
    assert found[0] == pytest.approx([exact, 0.25], rel=0.01)


@pytest.mark.parametrize("weight", [200.0, 500.0, 2000.0])
def test_posterior_of_separated_classes_knows_the_parameters_that_separate_them(weight):
    """Where probabilities are certain, the Laplace approximation returns the prior, of variance 1 / alpha = 1000."""
    case = Case("logistic", (1, 1), (), "binary_log_loss", n=20)
    X = np.linspace(-1, 1, 20)[:, None]
    objective = Objective(parts(case)[0].network, X, (X > 0).astype(float))
    theta, prior = np.array([weight, 0.0]), np.array([1e-3, 0.0])
    posterior = posterior_of(objective, theta, prior, "full")
    mean, spread = posterior.covariances(objective.network, X)
    assert spread[0, 0, 0] < 0.5 / 1e-3 * (weight / 200)
    assert (expit(averaged_logits(mean, spread[:, :, 0])[X > 0]) > 0.9).all()


@pytest.mark.parametrize("activation", ["relu", "softplus", "tanh"])
@pytest.mark.parametrize("size", [1e10, 1e90, 1e200])
def test_probabilities_of_extreme_inputs_are_finite_and_not_certain(activation, size):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), rng.integers(3, size=40)
    settings = dict(activation=activation, posterior="full", alpha=1.0, tol=0.1, random_state=0)
    model = QNewtonClassifier((4,), **settings).fit(X, y)
    p = model.predict_proba(size * X)
    assert np.isfinite(p).all() and p.max() < 0.95
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_log_probabilities_that_underflow_are_finite():
    for dtype in (np.float32, np.float64):
        mean = np.array([[0.0, -2000.0, -100.0]], dtype)
        logits = averaged_logits(mean, np.zeros((1, 3, 3), dtype))
        assert logits[0] == pytest.approx([0.0, -2000.0, -100.0], abs=10)
