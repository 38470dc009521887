"""The Laplace approximation against exact integrals, BayesianRidge, and finite differences."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import integrate, linalg
from scipy.optimize import minimize
from sklearn.linear_model import BayesianRidge

from qnewton_sk.curvature import GaussNewton, LayerRows, jacobian_factors, low_rank
from qnewton_sk.inference import (
    DensePrecision,
    LowRankPrecision,
    Penalties,
    laplace,
    natural_penalties,
    objective_alpha,
    penalty_groups,
)
from qnewton_sk.inference.sample_space import SampleSpace
from qnewton_sk.inference.search import updated
from qnewton_sk.nets import (
    LogisticCrossEntropy,
    Network,
    Objective,
    SoftmaxCrossEntropy,
    resolve_activation,
    resolve_loss,
)

TANH = resolve_activation("tanh")


def net(*widths, loss="squared_error", activation=TANH):
    loss = resolve_loss(loss) if isinstance(loss, str) else loss
    return Network(widths, [activation] * (len(widths) - 2), loss)


def linear_data(n=30, d=4):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)) * [1, 2, 3, 0.1][:d] + 1
    return X, X @ [1, -2, 0.5, 0][:d] + 3 + 0.5 * rng.standard_normal(n)


def without_mean(X, y):
    """n - 1 samples that hold all but the mean: the intercept integrated out exactly."""
    Q = linalg.null_space(np.ones((1, len(y)))).T
    return Q @ X, Q @ y


def bayesian_ridge(X, y):
    flat = dict(alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0)
    ridge = BayesianRidge(fit_intercept=False, compute_score=True, tol=1e-13, max_iter=5000, **flat)
    return ridge.fit(*without_mean(X, y))


def curvature_of(objective, theta):
    return GaussNewton().blocks(objective, theta)[0].matrix.entries()


def minimum(objective):
    """The minimum of a linear net, by one solve."""
    zero = np.zeros(objective.n_params)
    H = curvature_of(objective, zero)
    return -np.linalg.solve(H, objective.value_and_grad(zero)[1])


@pytest.fixture
def linear():
    X, y = linear_data()
    return X, y, Objective(net(4, 1), X, y[:, None])


def test_evidence_of_a_linear_net_is_that_of_bayesian_ridge(linear):
    X, y, objective = linear
    ridge = bayesian_ridge(X, y)
    theta = np.append(ridge.coef_, np.mean(y - X @ ridge.coef_))
    penalties = Penalties(np.array([ridge.lambda_]), ridge.alpha_)
    found = laplace(objective, theta, penalty_groups(objective.network), penalties)
    # one observation of precision beta, the mean, is integrated over a flat prior: sqrt(n) per unit of the intercept
    assert found.log_evidence == pytest.approx(ridge.scores_[-1] - 0.5 * np.log(len(y)), rel=1e-10)
    assert ridge.lambda_ * found.squares[0] == pytest.approx(found.effective[0], rel=1e-5)


@pytest.mark.parametrize("weights", ["none", "counts"])
def test_evidence_of_a_linear_net_is_the_exact_integral(weights):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((6, 1)), rng.standard_normal(6)
    counts = np.ones(6) if weights == "none" else np.array([1, 2, 1, 3, 1, 1.0])
    alpha, beta = 0.7, 2.3
    groups = penalty_groups(net(1, 1))
    objective = Objective(net(1, 1), X, y[:, None], None if weights == "none" else counts)
    penalised = objective.with_alpha(objective_alpha(objective, groups, Penalties(np.array([alpha]), beta)))
    found = laplace(objective, minimum(penalised), groups, Penalties(np.array([alpha]), beta))

    def density(b, w):
        residual = y - w * X[:, 0] - b
        likelihood = (beta / (2 * np.pi)) ** (counts.sum() / 2) * np.exp(-beta / 2 * counts @ residual**2)
        return likelihood * np.sqrt(alpha / (2 * np.pi)) * np.exp(-alpha / 2 * w**2)

    exact, _ = integrate.dblquad(density, -8, 8, -8, 8, epsabs=1e-14)
    assert found.log_evidence == pytest.approx(np.log(exact), abs=1e-6)


@pytest.mark.parametrize("loss", ["logistic", "softmax", "poisson"])
def test_evidence_of_a_well_determined_model_is_close_to_the_integral(loss):
    """Without hidden layers these likelihoods are nearly Gaussian in one weight, given enough samples."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((200, 1))
    if loss == "poisson":
        network, y = net(1, 1, loss="poisson"), rng.poisson(np.exp(0.3 + 0.4 * X)).astype(float)
    elif loss == "logistic":
        network = net(1, 1, loss=LogisticCrossEntropy())
        y = (rng.random((200, 1)) < 1 / (1 + np.exp(-X))).astype(float)
    else:
        network = net(1, 2, loss=SoftmaxCrossEntropy())
        y = np.eye(2)[(rng.random(200) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)]
    objective, groups = Objective(network, X, y), penalty_groups(network)
    penalties = Penalties(np.full(groups.count, 1.5))
    penalised = objective.with_alpha(objective_alpha(objective, groups, penalties))
    theta = minimize(penalised.value_and_grad, np.zeros(network.n_params), jac=True, tol=1e-12).x
    found = laplace(objective, theta, groups, penalties)
    total, prior = objective.total_weight, groups.spread(penalties.alpha)
    constant = network.loss.log_normaliser(y).sum()
    scale = network.loss.likelihood_scale(y.shape[1])
    precision = DensePrecision(scale * total * curvature_of(objective, theta), prior)
    # importance sampling from the Laplace posterior itself, with heavier tails
    draws = theta + 1.2 * precision.draw(np.random.RandomState(0), 20000).T
    free = prior == 0
    log_prior = -0.5 * (draws**2 @ prior) + 0.5 * np.log(prior[~free] / (2 * np.pi)).sum()
    values = np.array([objective.with_alpha(0.0).value(t) for t in draws[:4000]])
    delta = (draws[:4000] - theta) / 1.2
    A = np.linalg.inv(np.column_stack([precision.solve(e[:, None])[:, 0] for e in np.eye(network.n_params)]))
    k = network.n_params
    log_q = -0.5 * np.einsum("ni,ij,nj->n", delta, A, delta) - 0.5 * k * np.log(2 * np.pi)
    log_q += 0.5 * precision.log_determinant - k * np.log(1.2)
    log_weights = constant - scale * total * values + log_prior[:4000] - log_q
    exact = log_weights.max() + np.log(np.mean(np.exp(log_weights - log_weights.max())))
    assert found.log_evidence == pytest.approx(exact, abs=0.05)


def central(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / (2 * step)


def test_gradient_of_the_evidence_is_that_of_the_recomputed_one(linear):
    """(gamma - alpha ||w||^2) / 2 in log alpha and (n - gamma - beta residuals) / 2 in log beta, at the minimum."""
    _, y, objective = linear
    groups = penalty_groups(objective.network)

    def recomputed(log_alpha, log_beta):
        penalties = Penalties(np.exp([log_alpha]), np.exp(log_beta))
        penalised = objective.with_alpha(objective_alpha(objective, groups, penalties))
        return laplace(objective, minimum(penalised), groups, penalties), penalties

    found, penalties = recomputed(0.4, 0.9)
    by_alpha = central(lambda x: recomputed(x, 0.9)[0].log_evidence, 0.4)
    by_beta = central(lambda x: recomputed(0.4, x)[0].log_evidence, 0.9)
    gamma = found.effective.sum() + found.flat
    assert by_alpha == pytest.approx(
        0.5 * (found.effective[0] - penalties.alpha[0] * found.squares[0]), rel=1e-6
    )
    assert by_beta == pytest.approx(0.5 * (len(y) - gamma - penalties.beta * found.deviance), rel=1e-6)


def evidence_along(objective, theta, groups, base, direction, x):
    """The log evidence where log alpha has moved by x along a direction."""
    penalties = Penalties(base.alpha * np.exp(x * direction), base.beta)
    return laplace(objective, theta, groups, penalties).log_evidence


def test_parameters_whose_squares_overflow_have_no_evidence_and_no_warning():
    X = np.linspace(-1.0, 1.0, 6)[:, None]
    objective = Objective(net(1, 1), X, 1e-3 * X)
    theta = np.array([1e155, 0.0])
    with pytest.raises(linalg.LinAlgError, match="not finite"):
        laplace(objective, theta, penalty_groups(objective.network), Penalties(np.array([1.0]), 1.0))


@pytest.mark.parametrize("outputs, n", [(1, 40), (2, 40), (2, 8)])
def test_updates_are_the_stationary_points_of_the_evidence_at_fixed_parameters(outputs, n):
    rng = np.random.default_rng(3)
    network = net(3, 4, outputs)
    objective = Objective(
        network, rng.standard_normal((n, 3)), rng.standard_normal((n, outputs)), rng.random(n)
    )
    theta, groups = network.initial(np.random.RandomState(0)), penalty_groups(network)
    base = Penalties(np.array([0.5, 2.0, 0.8]), 1.7)
    found = laplace(objective, theta, groups, base)
    for g in range(groups.count):
        change = np.eye(groups.count)[g]
        slope = central(partial(evidence_along, objective, theta, groups, base, change), 0.0)
        assert slope == pytest.approx(
            0.5 * (found.effective[g] - base.alpha[g] * found.squares[g]), rel=1e-5, abs=1e-7
        )
    wanted, _, change = updated(objective, groups, base, found)
    assert np.all((wanted.alpha - base.alpha) * (found.effective - base.alpha * found.squares) > 0)
    freedom = objective.total_weight * outputs - found.effective.sum() - found.flat
    if freedom > 0.1 * objective.total_weight * outputs:
        assert wanted.beta == pytest.approx(freedom / found.deviance)
        assert change == pytest.approx(np.log(wanted.beta / base.beta))


def test_repeated_samples_have_the_evidence_of_integer_weights():
    rng = np.random.default_rng(4)
    X, y, counts = rng.standard_normal((9, 2)), rng.standard_normal((9, 1)), rng.integers(1, 4, 9)
    network = net(2, 3, 1)
    theta, groups = network.initial(np.random.RandomState(1)), penalty_groups(network)
    penalties = Penalties(np.array([1.0, 2.0, 3.0]), 0.5)
    weighted = laplace(Objective(network, X, y, counts.astype(float)), theta, groups, penalties)
    repeated = laplace(Objective(network, X.repeat(counts, 0), y.repeat(counts, 0)), theta, groups, penalties)
    assert weighted.log_evidence == pytest.approx(repeated.log_evidence, rel=1e-12)
    np.testing.assert_allclose(weighted.effective, repeated.effective, rtol=1e-10)


def test_evidence_follows_the_units_of_the_targets():
    """log p(c y) = log p(y) - n log c if the penalties are rescaled with it."""
    X, y = linear_data()
    values = []
    for c in (1.0, 1000.0):
        objective = Objective(net(4, 1), X, c * y[:, None])
        groups, penalties = (
            penalty_groups(objective.network),
            natural_penalties(objective, penalty_groups(net(4, 1))),
        )
        penalised = objective.with_alpha(objective_alpha(objective, groups, penalties))
        found = laplace(objective, minimum(penalised), groups, penalties)
        # the flat prior of the intercept has the units of y too
        values.append(found.log_evidence + (len(y) - 1) * np.log(c))
    assert values[0] == pytest.approx(values[1], rel=1e-9)


@pytest.mark.parametrize("free", [0, 2])
def test_low_rank_precision_is_the_dense_one(free):
    rng = np.random.default_rng(5)
    G, prior = rng.standard_normal((7, 20)), rng.uniform(0.1, 3, 20)
    prior[:free] = 0
    dense, low = DensePrecision(G.T @ G, prior), LowRankPrecision(G, prior)
    A = G.T @ G + np.diag(prior)
    B = rng.standard_normal((20, 3))
    for precision in (dense, low):
        assert precision.added == 0
        assert precision.log_determinant == pytest.approx(np.linalg.slogdet(A)[1], rel=1e-10)
        np.testing.assert_allclose(precision.variances(), np.linalg.inv(A).diagonal(), rtol=1e-9)
        np.testing.assert_allclose(precision.solve(B), np.linalg.solve(A, B), rtol=1e-8, atol=1e-10)
        draws = precision.draw(np.random.RandomState(0), 40000)
        np.testing.assert_allclose(
            np.cov(draws), np.linalg.inv(A), atol=0.15 * np.abs(np.linalg.inv(A)).max()
        )


def test_variances_of_extreme_priors_do_not_overflow():
    precision = LowRankPrecision(np.ones((1, 3)), np.full(3, 1e300))
    np.testing.assert_allclose(precision.variances(), 1e-300)


def test_priors_below_rounding_are_raised():
    rng = np.random.default_rng(7)
    G, prior = rng.standard_normal((3, 8)), np.full(8, 1e-300)
    prior[0] = 0.0
    low = LowRankPrecision(G, prior)
    assert 0 < low.added < 1e-10
    dense = DensePrecision(G.T @ G, np.where(prior == 0, 0.0, low.added))
    np.testing.assert_allclose(low.variances(), dense.variances(), rtol=1e-3)
    assert np.isfinite(low.draw(np.random.RandomState(0), 5)).all()


@pytest.mark.parametrize("kind", [DensePrecision, LowRankPrecision])
@pytest.mark.parametrize("smallest", [0.0, 1e-300])
def test_variances_of_what_nothing_determines_are_finite(kind, smallest):
    prior = np.full(6, 1e-300)
    prior[4:] = smallest
    precision = kind(np.zeros((6, 6)) if kind is DensePrecision else np.zeros((2, 6)), prior)
    assert precision.added > 0
    assert 0 < precision.variances().min() <= precision.variances().max() <= 1e150


def test_an_update_from_weights_and_residuals_of_zero_is_limited():
    network = net(3, 2, 1)
    objective = Objective(network, np.ones((4, 3)), np.ones((4, 1)), np.ones(4))
    groups = penalty_groups(network)
    penalties, theta = Penalties(np.ones(groups.count), 1.0), network.initial(np.random.RandomState(0))
    found = replace(laplace(objective, theta, groups, penalties), squares=np.zeros(groups.count))
    found = replace(found, effective=np.full(groups.count, 30.0), deviance=0.0)
    after = updated(objective, groups, penalties, found)[0]
    assert np.isfinite(after.alpha).all() and (after.alpha > 1).all()
    assert np.isfinite(after.beta)


def test_a_curvature_beyond_double_precision_is_refused():
    with pytest.raises(linalg.LinAlgError, match="not finite"):
        LowRankPrecision(np.full((2, 5), 1e200), np.ones(5))


@pytest.mark.parametrize("per_input", [False, True])
@pytest.mark.parametrize("loss, outputs", [("squared_error", 1), ("squared_error", 2), ("softmax", 3)])
def test_evidence_in_the_space_of_samples_is_that_of_the_matrix_of_parameters(loss, outputs, per_input):
    rng = np.random.default_rng(6)
    network = net(5, 6, 4, outputs, loss=SoftmaxCrossEntropy() if loss == "softmax" else loss)
    y = np.eye(3)[rng.integers(3, size=12)] if loss == "softmax" else rng.standard_normal((12, outputs))
    objective = Objective(network, rng.standard_normal((12, 5)), y, rng.random(12), chunk_bytes=2000)
    theta, groups = network.initial(np.random.RandomState(0)), penalty_groups(network, per_input=per_input)
    penalties = Penalties(rng.uniform(0.3, 3, groups.count), 1.0 if loss == "softmax" else 1.7)
    assert objective.n_samples * outputs < network.n_params
    found, prior = laplace(objective, theta, groups, penalties), groups.spread(penalties.alpha)
    scale = penalties.beta * network.loss.likelihood_scale(outputs) * objective.total_weight
    dense = DensePrecision(scale * curvature_of(objective, theta), prior)
    effective = groups.sizes - penalties.alpha * groups.sums(dense.variances())
    np.testing.assert_allclose(found.effective, effective, rtol=1e-8)
    layers = jacobian_factors(objective, theta)
    samples = SampleSpace(layers, scale, [W[:, 0].copy() for W in network.layers(prior)])
    assert samples.log_determinant == pytest.approx(dense.log_determinant, rel=1e-10)


def test_gram_matrices_are_kept_only_where_they_are_small(monkeypatch):
    rng = np.random.default_rng(0)
    rows = LayerRows(rng.standard_normal((3, 10)), rng.standard_normal((4, 2, 10)))
    flat = rows.derivatives.reshape(4, 20)
    np.testing.assert_allclose(rows.gram, flat.T @ flat)
    assert rows.gram is rows.gram
    monkeypatch.setattr(low_rank, "GRAM_BYTES", 8 * 20**2 - 1)
    assert rows.gram is not rows.gram
    np.testing.assert_allclose(rows.gram, flat.T @ flat)


def test_a_singular_curvature_says_what_was_added():
    precision = DensePrecision(np.diag([1.0, 0.0]), np.zeros(2))
    assert 0 < precision.added <= 1e-9
    assert np.isfinite(precision.log_determinant)
    with pytest.raises(linalg.LinAlgError, match="semidefinite"):
        DensePrecision(np.diag([1.0, -1.0]), np.zeros(2))
    with pytest.raises(linalg.LinAlgError, match="semidefinite"):
        DensePrecision(np.full((2, 2), np.nan), np.zeros(2))


def test_every_parameter_of_a_softmax_net_has_a_prior():
    network = net(2, 3, 3, loss=SoftmaxCrossEntropy())
    assert penalty_groups(network).index.min() == 0
    assert penalty_groups(net(2, 3, 3)).index[-3:].tolist() == [-1, -1, -1]


def test_groups_per_input_are_rows_of_the_first_layer():
    groups = penalty_groups(net(3, 2, 1), per_input=True)
    assert groups.inputs == (0, 1, 2)
    assert groups.index.tolist() == [0, 0, 1, 1, 2, 2, 4, 4, 3, 3, -1]
    np.testing.assert_array_equal(groups.sizes, [2, 2, 2, 2, 2])
