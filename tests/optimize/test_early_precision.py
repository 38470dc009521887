"""Early steps in single precision: when they are taken, when they end, and that no result rests on them."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, QNewtonRegressor
from qnewton_sk.nets import Objective
from qnewton_sk.optimize import quasi_newton

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


def test_targets_beyond_the_range_of_single_precision_stay_in_double(precisions):
    X = np.random.default_rng(0).standard_normal((300, 3))
    model = fitted(QNewtonRegressor, X, 1e45 * X[:, 0], max_iter=20, alpha=0.0)
    assert precisions.count(np.dtype(np.float32)) == 1  # the comparison at the start
    assert model.loss_curve_[-1] < model.loss_curve_[0]


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


def test_losses_of_early_steps_are_those_of_double_precision_to_six_digits(precisions):
    X, y = MOONS
    for epochs in (5, 15, 25):
        net = fitted(QNewtonClassifier, X, y, max_iter=epochs, alpha=0.1, first_order_steps=epochs)
        network = net._fitted_network()
        objective = Objective(network, X, y[:, None].astype(float), alpha=0.1)
        assert precisions[-1] == np.float32
        theta = network.pack(net.coefs_, net.intercepts_, float)
        assert net.loss_curve_[-1] == pytest.approx(objective.value(theta), rel=1e-6)
