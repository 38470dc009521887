"""Geodesic acceleration against autograd, and what it does to a fit."""

import autograd.numpy as anp
import cases
import numpy as np
import pytest
from autograd import jacobian
from oracles import Truth
from sklearn.datasets import make_friedman1
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonRegressor, Scheduler
from qnewton_sk.curvature.geodesic import acceleration
from qnewton_sk.curvature.matrices import GaussNewton
from qnewton_sk.scheduling.backends import classical_backends


class PlainGaussNewton(GaussNewton):
    """Gauss-Newton without acceleration."""

    def _acceleration(self, objective, theta):
        return None


SQUARES = [case for case in cases.CASES if case.loss == "squared_error" and len(case.widths) > 2]
SMOOTH = [case for case in SQUARES if "relu" not in case.activations]


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_it_is_the_jacobian_times_the_second_derivative_along_the_step(case):
    case = case.but(dtype=np.float64)
    objective, theta, truth = case.objective(), case.theta(), Truth(case)
    v = np.random.default_rng(1).standard_normal(theta.size)
    bend = jacobian(jacobian(lambda t: truth.raw(theta + t * v)))(0.0)
    weight = case.data().sample_weight
    weight = np.ones(case.n) if weight is None else weight
    pulled = bend * (weight / weight.sum())[:, None] / case.widths[-1]
    expected = jacobian(lambda t: anp.sum(truth.raw(t) * pulled))(theta)
    np.testing.assert_allclose(
        acceleration(objective, theta, v), expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max()
    )


def test_chunks_add_up():
    case = cases.Case("squares", (4, 3, 5, 2), ("tanh", "silu"))
    v = np.random.default_rng(0).standard_normal(case.theta().size)
    whole, chunked = (
        acceleration(objective, case.theta(), v) for objective in (case.objective(), case.objective(1500))
    )
    np.testing.assert_allclose(chunked, whole, rtol=1e-12)


def test_only_gauss_newton_on_squares_with_hidden_layers_has_it():
    def has(part, case):
        return [block.acceleration is not None for block in part.blocks(case.objective(), case.theta())]

    squares, softmax = cases.Case("squares", (4, 3, 2), ("tanh",)), cases.NETS[2]
    assert has(GaussNewton(), squares) == [True]
    assert has(PlainGaussNewton(), squares) == [False]
    assert has(GaussNewton("layer"), squares) == [False, False]
    assert has(GaussNewton(), softmax) == [False]
    assert has(GaussNewton(), cases.NETS[0]) == [False]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_take_fewer_steps():
    X, y = make_friedman1(300, random_state=0, noise=0)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    direct = Scheduler([backend for backend in classical_backends() if backend.name == "cholesky"])
    steps = {}
    for geodesic in (True, False):
        curvature = GaussNewton() if geodesic else PlainGaussNewton()
        model = QNewtonRegressor((8,), alpha=1e-6, curvature=curvature, scheduler=direct, tol=1e-4)
        steps[geodesic] = sum(model.set_params(random_state=seed).fit(X, y).n_steps_ for seed in range(4))
    assert steps[True] < 0.7 * steps[False]


def test_only_steps_of_the_damped_system_are_corrected():
    X, y = make_friedman1(100, random_state=0)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    exact = Scheduler([backend for backend in classical_backends() if backend.name == "more_sorensen"])
    losses = []
    for condition_number in ("one_norm", "products"):  # the first one factorises, and leaves that behind
        model = QNewtonRegressor((4,), curvature="gauss_newton", scheduler=exact, tol=1e-3, random_state=0)
        losses.append(model.set_params(condition_number=condition_number).fit(X, y).loss_)
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
