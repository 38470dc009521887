"""Values, gradients, matrices, products and factors against autograd's own Hessians and Jacobians."""

import gc
import weakref
from dataclasses import replace

import autograd.numpy as np
import numpy
import pytest
from autograd import grad, hessian, jacobian
from autograd.extend import defvjp, primitive
from models import LOSSES, inputs, mixed, objective

from qnewton_sk import Scheduler, SolveStatus, classical_backends, minimize
from qnewton_sk.autodiff import (
    AutogradFisher,
    AutogradGaussNewton,
    AutogradHessian,
    AutogradObjective,
    FunctionFault,
)
from qnewton_sk.conditioning import prepare
from qnewton_sk.nets import resolve_loss
from qnewton_sk.solvers import LU, Woodbury

PARTITIONS = ["full", "layer", {"a": ["in", ("out", "w")], "b": ["shared", "gate", ("out", "b")]}]


class Oracle:
    """The objective again, with the losses in autograd.numpy and the derivatives of autograd."""

    def __init__(self, objective):
        self.o = objective

    def losses(self, z):
        y, name = self.o.targets, self.o.loss.name
        if name == "squared_error":
            return 0.5 * np.mean((z - y) ** 2, axis=1)
        if name == "poisson":
            y_log_y = numpy.where(y > 0, y * numpy.log(numpy.maximum(y, 1e-300)), 0.0)
            return np.mean(y_log_y - y * z - y + np.exp(z), axis=1)
        if name == "huber":
            r = np.abs(z - y)
            return np.mean(np.where(r <= 1.35, r**2 / 2, 1.35 * (r - 1.35 / 2)), axis=1)
        if name == "log_loss":
            return np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * y, axis=1)
        return np.sum(np.logaddexp(0, z) - y * z, axis=1)

    def raw(self, theta):
        return mixed(self.o.layout.unpack(theta), self.o.data[0])

    def value(self, theta):
        return np.mean(self.losses(self.raw(theta))) + 0.5 * np.sum(self.o.penalties * theta**2)

    def hessian(self, theta):
        return hessian(self.value)(theta)

    def gauss_newton(self, theta):
        J, z = jacobian(self.raw)(theta), self.raw(theta)
        L = hessian(lambda u: np.mean(self.losses(u)))(z)
        return np.einsum("nka,nkml,mlb->ab", J, L, J) + numpy.diag(self.o.penalties)

    def fisher(self, theta):
        g = jacobian(lambda t: self.losses(self.raw(t)))(theta)
        return g.T @ g / len(g) + numpy.diag(self.o.penalties)


MATRICES = {
    "hessian": (AutogradHessian(), Oracle.hessian),
    "gauss_newton": (AutogradGaussNewton(), Oracle.gauss_newton),
    "fisher": (AutogradFisher(), Oracle.fisher),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_value_and_gradient_are_those_of_the_mean(loss):
    o = objective(loss)
    theta, oracle = o.layout.start, Oracle(o)
    value, gradient = o.value_and_grad(theta)
    assert value == pytest.approx(oracle.value(theta), rel=1e-13) == o.value(theta)
    numpy.testing.assert_allclose(gradient, grad(oracle.value)(theta), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("loss", LOSSES)
def test_entries_products_and_factors_are_those_of_autograd(loss, name, chunk_size):
    o = objective(loss, chunk_size=chunk_size)
    theta = o.layout.start
    curvature, truth = MATRICES[name]
    wanted = truth(Oracle(o), theta)
    matrix = curvature.blocks(o, theta)[0].matrix
    scale = numpy.abs(wanted).max()
    v = numpy.random.default_rng(3).standard_normal(o.n_params)
    numpy.testing.assert_allclose(matrix.product(v), wanted @ v, rtol=0, atol=1e-11 * scale)
    numpy.testing.assert_allclose(matrix.entries(), wanted, rtol=0, atol=1e-12 * scale)
    assert (matrix.entries() == matrix.entries().T).all()
    if name != "hessian":
        G = matrix.factor()
        found = G.T @ G + numpy.diag(matrix.factor_diagonal)
        numpy.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * scale)
        assert G.shape[0] == matrix.rank


@pytest.mark.parametrize("partition", PARTITIONS, ids=str)
@pytest.mark.parametrize("name", MATRICES)
def test_blocks_are_the_diagonal_blocks(name, partition):
    o = objective("log_loss", partition=partition)
    curvature, truth = MATRICES[name]
    wanted = truth(Oracle(o), o.layout.start)
    blocks = curvature.blocks(o, o.layout.start)
    assert sum(block.matrix.n for block in blocks) == o.n_params
    for block in blocks:
        part = wanted[block.parameters, block.parameters]
        numpy.testing.assert_allclose(block.matrix.entries(), part, rtol=0, atol=1e-12)


def test_losses_of_the_samples_give_the_same_matrices_as_outputs_with_a_loss():
    by_losses, by_outputs = objective(None), objective("squared_error")
    theta = by_outputs.layout.start
    for curvature in (AutogradHessian(), AutogradFisher()):
        one, two = (curvature.blocks(o, theta)[0].matrix.entries() for o in (by_losses, by_outputs))
        numpy.testing.assert_allclose(one, two, rtol=0, atol=1e-12)


def test_acceleration_is_that_of_the_outputs():
    o = objective("squared_error")
    theta, oracle = o.layout.start, Oracle(o)
    v = numpy.random.default_rng(4).standard_normal(o.n_params)
    h = 1e-4
    second = (oracle.raw(theta + h * v) - 2 * oracle.raw(theta) + oracle.raw(theta - h * v)) / h**2
    J = jacobian(oracle.raw)(theta)
    wanted = numpy.einsum("nka,nk->a", J, second) / second.size
    found = AutogradGaussNewton().blocks(o, theta)[0].acceleration(v)
    numpy.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * numpy.abs(wanted).max())


@pytest.mark.parametrize("partition", PARTITIONS, ids=str)
@pytest.mark.parametrize("curvature", [AutogradFisher(), AutogradGaussNewton()])
def test_woodburys_direction_is_that_of_the_dense_solve(curvature, partition):
    o = objective("squared_error", partition=partition)
    theta = o.layout.start
    gradient = o.value_and_grad(theta)[1]
    for block in curvature.blocks(o, theta):
        system = prepare(block.matrix, -gradient[block.parameters], 1e-10, 0.1)
        by_factor, by_entries = Woodbury().solve(system), LU().solve(system)
        assert by_factor.status is by_entries.status is SolveStatus.SUCCESS
        scale = numpy.abs(by_entries.x).max()
        numpy.testing.assert_allclose(by_factor.x, by_entries.x, rtol=0, atol=1e-11 * scale)


def test_primitives_with_only_a_backward_rule_have_products():
    @primitive
    def cubed(x):
        return x**3

    defvjp(cubed, lambda answer, x: lambda g: 3 * g * x**2)
    X, y = numpy.linspace(0.5, 1.5, 9), numpy.linspace(0.5, 1.5, 9) ** 3 * 8
    for curvature in ("gauss_newton", "hessian"):
        result = minimize(
            lambda p, x: cubed(p["a"] * x),
            {"a": 1.0},
            (X, y),
            loss="squared_error",
            curvature=curvature,
            tol=1e-9,
        )
        assert result.success
        assert result.x["a"] == pytest.approx(2.0, abs=1e-7)


@primitive
def looked_up(table, rows):
    return table[rows]


def _looked_up_vjp(answer, table, rows):
    def backward(g):
        total = numpy.zeros_like(table)
        numpy.add.at(total, rows, numpy.asarray(g, float))  # autograd cannot go through this
        return total

    return backward


defvjp(looked_up, _looked_up_vjp, argnums=(0,))


def test_a_backward_rule_that_cannot_be_differentiated_is_enough_for_gradients_per_sample():
    rng = numpy.random.default_rng(0)
    rows, y = rng.integers(6, size=40), rng.standard_normal(40)
    x0 = {"table": numpy.zeros(6)}

    def model(p, rows):
        return np.tanh(looked_up(p["table"], rows))

    for curvature in ("gauss_newton", "empirical_fisher"):
        scheduler = Scheduler([backend for backend in classical_backends() if backend.name == "woodbury"])
        result = minimize(
            model, x0, (rows, y), loss="squared_error", curvature=curvature, scheduler=scheduler, max_iter=500
        )
        assert result.success
        gradient = grad(lambda p: np.mean((model(p, rows) - y) ** 2))(result.x)["table"]
        assert numpy.abs(gradient).max() < 1e-3
    with pytest.raises(FunctionFault, match="differentiate twice for this curvature .*empirical_fisher"):
        minimize(model, x0, (rows, y), loss="squared_error", curvature="hessian")


def test_a_linear_loss_has_a_zero_hessian_without_a_warning():
    result = minimize(lambda p: np.sum(p["a"]), {"a": numpy.ones(3)}, curvature="hessian", max_iter=3)
    assert not result.success


def test_a_loss_of_a_users_own_has_gauss_newton_products():
    o = objective("squared_error")
    own = resolve_loss(lambda y, z: 0.5 * np.mean((z - y) ** 2, axis=1))
    by_user = AutogradObjective(replace(o.problem, loss=own), o.data, o.targets)
    for curvature in (AutogradGaussNewton(), AutogradHessian(), AutogradFisher()):
        matrices = [curvature.blocks(each, o.layout.start)[0].matrix.entries() for each in (o, by_user)]
        numpy.testing.assert_allclose(*matrices, rtol=0, atol=1e-12)


@pytest.mark.parametrize("curvature", [AutogradHessian(), AutogradGaussNewton(), AutogradFisher()])
def test_what_was_recorded_is_freed_with_its_batch(curvature):
    o = objective("squared_error")
    gc.collect()
    gc.disable()
    try:
        batch = o.batch(numpy.arange(4))
        (block,) = curvature.blocks(batch, o.layout.start)
        block.matrix.product(numpy.ones(o.n_params))
        block.matrix.entries()
        batch.value_and_grad(o.layout.start)
        alive = weakref.ref(batch), weakref.ref(batch._last)
        del batch, block
        assert [each() for each in alive] == [None, None]
    finally:
        gc.enable()


def test_batches_have_the_mean_of_their_own_samples():
    o = objective("squared_error")
    chosen = numpy.array([1, 4, 5])
    batch = o.batch(chosen)
    z = mixed(o.layout.unpack(o.layout.start), inputs()[chosen])
    wanted = 0.5 * numpy.mean((z - o.targets[chosen]) ** 2) + 0.5 * 0.3 / 3 * numpy.sum(o.layout.start**2)
    assert batch.value(o.layout.start) == pytest.approx(wanted, rel=1e-13)
