"""Early steps in single precision: when they are taken, when they end, and that no result rests on them."""

import warnings

import autograd.numpy as anp
import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, TrustRegion
from qnewton_sk.curvature import AutoCurvature
from qnewton_sk.nets import Network, Objective, resolve_activation
from qnewton_sk.nets.losses import LogisticCrossEntropy, resolve_loss
from qnewton_sk.optimize import quasi_newton
from qnewton_sk.optimize.state import LoopState
from qnewton_sk.optimize.steps import QuasiNewtonStep

MOONS = make_moons(400, noise=0.3, random_state=0)
DIGITS = load_digits(return_X_y=True)
DIGITS = StandardScaler().fit_transform(DIGITS[0][:600]), DIGITS[1][:600]


@pytest.fixture
def precisions(monkeypatch):
    """The types of the parameters at which gradients were asked for, in their order."""
    seen, real = [], Objective.value_and_grad
    monkeypatch.setattr(
        Objective, "value_and_grad", lambda self, theta: seen.append(theta.dtype) or real(self, theta)
    )
    return seen


def fitted(make, X, y, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make((16, 16), random_state=0, **settings).fit(X, y)


def test_early_steps_are_taken_in_single_precision_and_the_last_ones_in_double(precisions):
    model = fitted(QNewtonClassifier, *DIGITS, tol=1e-6, max_iter=400)
    single = np.array([dtype == np.float32 for dtype in precisions])
    assert model.converged_ and not single[0]  # at the start, both are compared
    assert single.mean() > 0.4
    assert not single[-10:].any() and single[1 : single.sum() + 1].all()  # it goes over once


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_a_small_gradient_is_confirmed_in_double_precision(tol):
    X, y = MOONS
    model = fitted(QNewtonClassifier, X, y, tol=tol, max_iter=1000, alpha=0.1)
    assert model.converged_
    network = model._fitted_network()
    objective = Objective(network, X, y[:, None].astype(float), alpha=0.1)
    theta = network.pack(model.coefs_, model.intercepts_, float)
    assert np.abs(objective.value_and_grad(theta)[1]).max() <= tol
    assert model.loss_ == pytest.approx(objective.value(theta), rel=1e-12)


def test_small_data_and_single_precision_itself_have_no_early_phase_of_their_own(precisions):
    X, y = MOONS
    fitted(QNewtonClassifier, X[:100], y[:100], max_iter=20)
    assert set(precisions) == {np.dtype(np.float64)}
    precisions.clear()
    fitted(QNewtonClassifier, X.astype(np.float32), y, max_iter=20)
    assert set(precisions) == {np.dtype(np.float32)}


def shifted(y, raw):
    """A user's loss: half of squared errors."""
    return anp.sum((raw - y) ** 2, axis=1) / 2


def sine(z):
    """A user's activation."""
    return anp.sin(z)


@pytest.mark.parametrize(
    "change",
    [
        dict(X=sparse.csr_array(np.eye(400)[:, :3]), budget=100),
        dict(settings=dict(input_bytes=0)),  # as of a file that is read in pieces
        dict(settings=dict(chunk_bytes=4000)),
        dict(activation=sine),
        dict(loss=shifted),
        dict(settings=dict(dtype=np.float32)),
    ],
    ids=["sparse", "not kept", "not kept in single", "activation", "loss", "single already"],
)
def test_objectives_that_single_precision_would_not_help_say_so(change):
    rng = np.random.default_rng(0)

    def objective(X=None, activation="tanh", loss="squared_error", budget=2**28, settings=None):
        network = Network((3, 16, 1), [resolve_activation(activation)], resolve_loss(loss))
        X = rng.standard_normal((400, 3)) if X is None else X
        return Objective(
            network, X, rng.standard_normal((400, 1)), **{"chunk_bytes": budget} | (settings or {})
        )

    assert objective().is_faster_in_single
    assert not objective(**change).is_faster_in_single


def test_mini_batches_stay_in_double_precision(precisions):
    fitted(QNewtonClassifier, *DIGITS, batch_size=300, first_order_steps=4, max_iter=4)
    assert set(precisions) == {np.dtype(np.float64)}


def test_losses_are_right_where_targets_cancel():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    y = 1e4 + 10 * X[:, 0] + rng.standard_normal(400)
    for epochs in range(3, 16):
        net = fitted(QNewtonRegressor, X, y, alpha=0.0, max_iter=epochs, first_order_steps=epochs)
        assert net.loss_curve_[-1] == pytest.approx(net.loss_, rel=5e-6)
    assert net.loss_ < 1e-4 * net.loss_curve_[0]


def test_targets_beyond_the_range_of_single_precision_stay_in_double(precisions):
    X = np.random.default_rng(0).standard_normal((300, 3))
    model = fitted(QNewtonRegressor, X, 1e45 * X[:, 0], max_iter=20, alpha=0.0)
    assert precisions.count(np.dtype(np.float32)) == 1  # the comparison at the start
    assert model.loss_curve_[-1] < model.loss_curve_[0]


class Rounded:
    """Half the sum of squares; in single precision, value and gradient have relative errors."""

    is_faster_in_single = True

    def __init__(self, value_error=0.0, gradient_error=0.0):
        self.value_error, self.gradient_error = value_error, gradient_error

    def single(self):
        return self

    def value_and_grad(self, theta):
        value, gradient = 0.5 * float(theta @ theta), theta.copy()
        if theta.dtype == np.float64:
            return value, gradient
        return value * (1 + self.value_error), gradient * (1 + self.gradient_error)


@pytest.mark.parametrize(
    "errors, agrees",
    [((1e-6, -1e-6), True), ((1e-3, 0.0), False), ((0.0, 1e-3), False), ((np.nan, 0.0), False)],
)
def test_single_precision_is_kept_if_it_agrees_at_the_start(errors, agrees):
    objective = Rounded(*errors)
    state = LoopState(np.arange(1.0, 4.0), TrustRegion().initial()).evaluated(objective)
    after = QuasiNewtonStep(OneStep(), 1e-9).take(objective, state)[0]
    assert after.single == agrees


class OneStep:
    """A policy that takes whatever a step has gained."""

    def after(self, state, before, after, gradients):
        return state


def test_a_search_that_fails_in_single_precision_is_taken_again_in_double(monkeypatch):
    """A line search that finds nothing because of rounding must not end the early phase."""
    real, failed = quasi_newton.wolfe_search, []

    def search(objective, *arguments):
        if isinstance(objective, quasi_newton.InSingle) and len(failed) < 1:
            failed.append(arguments[1])
            return None, 3.0
        return real(objective, *arguments)

    monkeypatch.setattr("qnewton_sk.optimize.steps.wolfe_search", search)
    model = fitted(QNewtonClassifier, *MOONS, max_iter=12)
    assert len(failed) == 1
    assert model.history_["phase"].tolist() == ["first_order"] * 11 + ["newton"]
    assert model.history_["accepted"].all()


def test_losses_of_early_steps_are_those_of_double_precision_to_five_digits(precisions):
    X, y = MOONS
    for epochs in (5, 15, 25):
        net = fitted(QNewtonClassifier, X, y, max_iter=epochs, alpha=0.1, first_order_steps=epochs)
        network = net._fitted_network()
        objective = Objective(network, X, y[:, None].astype(float), alpha=0.1)
        assert precisions[-1] == np.float32
        theta = network.pack(net.coefs_, net.intercepts_, float)
        assert net.loss_curve_[-1] == pytest.approx(objective.value(theta), rel=1e-5)
        assert net.loss_ == objective.value(theta) != net.loss_curve_[-1]


def test_a_gradient_that_single_precision_takes_for_zero_ends_nothing(monkeypatch):
    real, calls = quasi_newton.InSingle.value_and_grad, []

    def rounded(self, theta):
        calls.append(theta)
        value, gradient = real(self, theta)
        return value, gradient * (len(calls) < 4)

    monkeypatch.setattr(quasi_newton.InSingle, "value_and_grad", rounded)
    # small at the start, so that it is not for its size that the gradient is taken to double precision
    monkeypatch.setattr("qnewton_sk.optimize.steps.MIN_SINGLE_GRADIENT", -1.0)
    model = fitted(QNewtonClassifier, *MOONS, max_iter=12)
    assert len(calls) == 4
    assert model.history_["phase"].tolist() == ["first_order"] * 11 + ["newton"]


def test_a_newton_step_begins_in_double_precision(precisions):
    model = fitted(QNewtonClassifier, *MOONS, max_iter=8, diagnostics=False)
    assert model.history_["phase"].tolist() == ["first_order"] * 7 + ["newton"]
    assert [dtype == np.float32 for dtype in precisions[-3:]] == [True, False, False]


def test_a_gradient_in_single_precision_counts_as_half_of_one(precisions):
    X, y = MOONS
    network = Network((2, 16, 1), [resolve_activation("tanh")], LogisticCrossEntropy())
    policy, theta = AutoCurvature(), network.initial(np.random.RandomState(0))
    for rows, is_single in ((400, True), (50, False)):
        objective = Objective(network, X[:rows], y[:rows, None].astype(float))
        precisions.clear()
        start = LoopState(theta, TrustRegion().initial(), policy=policy.initial(objective, False))
        state = start.evaluated(objective)
        for _ in range(3):
            state, record, _ = QuasiNewtonStep(policy, 1e-9).take(objective, state)
            assert record.accepted and state.single == is_single
        assert state.gradients == sum(0.5 if dtype == np.float32 else 1.0 for dtype in precisions)
        assert len(precisions) >= 4 + is_single
