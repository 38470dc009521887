"""Derivatives along a vector: the acceleration of the outputs against autograd, slabs against their declared size."""

import autograd.numpy as anp
import cases
import numpy as np
import pytest
from autograd import jacobian
from oracles import Truth
from sklearn.datasets import make_friedman1
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonRegressor, Scheduler
from qnewton_sk.curvature.directional import FisherSlab, HessianSlab, acceleration
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
    second = jacobian(jacobian(lambda t: truth.raw(theta + t * v)))(0.0)
    weight = case.data().sample_weight
    weight = np.ones(case.n) if weight is None else weight
    pulled = second * (weight / weight.sum())[:, None] / case.widths[-1]
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


def squared_error(y, z):
    """A user's own loss, of which nothing is known but its name."""
    return 0.5 * anp.sum((z - y) ** 2, axis=1)


def test_only_gauss_newton_on_squares_with_hidden_layers_has_it():
    def has(part, case):
        return [block.acceleration is not None for block in part.blocks(case.objective(), case.theta())]

    squares, softmax = cases.Case("squares", (4, 3, 2), ("tanh",)), cases.NETS[2]
    assert has(GaussNewton(), squares) == [True]
    assert has(PlainGaussNewton(), squares) == [False]
    assert has(GaussNewton("layer"), squares) == [False, False]
    assert has(GaussNewton(), softmax) == [False]
    assert has(GaussNewton(), squares.but(loss=squared_error)) == [False]
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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("curvature", ["auto", "gauss_newton"])
def test_the_name_of_a_users_loss_changes_nothing(curvature):
    def another_name(y, z):
        return squared_error(y, z)

    X, y = make_friedman1(60, random_state=0)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    one, other = (
        QNewtonRegressor((4,), loss=loss, curvature=curvature, max_iter=5, random_state=0).fit(X, y)
        for loss in (squared_error, another_name)
    )
    for a, b in zip(one.coefs_, other.coefs_):
        np.testing.assert_array_equal(a, b)


def arrays_of(slab):
    """The arrays that a slab holds on to, each base counted once."""
    found, waiting = {}, [vars(slab)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, np.ndarray):
            base = value if value.base is None else value.base
            found[id(base)] = base
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif callable(value) and getattr(value, "__closure__", None):
            waiting += [cell.cell_contents for cell in value.__closure__]
    return found


@pytest.mark.parametrize("case", [*cases.NETS[3:5], cases.NETS[6], cases.LOSSES[2], cases.LOSSES[7]], ids=str)
@pytest.mark.parametrize("layer", [None, 1])
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton", "fisher"])
def test_a_slab_holds_as_many_numbers_per_sample_as_it_says(case, layer, kind):
    case = case.but(n=4000)
    network, theta = case.network(), case.theta()
    (p,) = case.objective().passes(theta)
    rows, exact = slice(0, case.n), kind == "hessian"
    if kind == "fisher":
        slab, floats = FisherSlab(p, rows, layer), FisherSlab.floats_per_sample(network, layer)
    else:
        slab, floats = (
            HessianSlab(p, rows, exact, layer),
            HessianSlab.floats_per_sample(network, exact, layer),
        )
    first = p.inputs[0].base if p.inputs[0].base is not None else p.inputs[0]
    held = sum(a.size for a in arrays_of(slab).values() if a is not first and a.size >= case.n)
    assert held == floats * case.n
