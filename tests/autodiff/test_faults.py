"""Wrong use is named before any work; faults of the function in a run keep the last good point."""

import math

import autograd.numpy as np
import numpy
import pytest
from scipy import sparse

from qnewton_sk import minimize
from qnewton_sk.autodiff import FunctionFault

X = numpy.linspace(-1, 1, 12).reshape(6, 2)
Y = numpy.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])


def losses(p, X, y):
    return (np.dot(X, p["w"]) - y) ** 2


def outputs(p, X):
    return np.dot(X, p["w"])


W = {"w": numpy.ones(2)}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"curvature": "newton"}, "`curvature` must be one of"),
        ({"curvature": "gauss_newton"}, "`curvature` must not be 'gauss_newton' if `fun` returns losses"),
        ({"curvature": object}, "`curvature` must be one of"),
        ({"partition": "rows"}, "`partition` must be"),
        ({"scheduler": "fast"}, "`scheduler` must"),
        ({"step_control": "newton"}, "`step_control` must be one of"),
        ({"regularization": -1.0}, "`regularization` must be a finite number >= 0"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"chunk_size": 0}, "`chunk_size` must be None .* or an int >= 1; got 0"),
        ({"chunk_size": 1.5}, "`chunk_size` must be"),
        ({"max_iter": 0}, "`max_iter` must be an int >= 1"),
        ({"tol": -1.0}, "`tol` must be a finite number >= 0"),
        ({"callback": 3}, "`callback` must be None or a function"),
        ({"random_state": "zero"}, "`random_state` must be"),
        ({"first_order_rate": 0.0}, "`first_order_rate` must be a finite number > 0"),
        ({"first_order": "b"}, "`first_order` must consist of keys"),
        ({"alpha": "evidence"}, "`alpha` must be a number >= 0"),
        ({"loss": "hinge"}, "`loss` must be one of .*binary_log_loss"),
        ({"oracle_sparsity": 0}, "`oracle_sparsity` must be"),
        ({"condition_number": "guess"}, "condition_number|estimator"),
        ({"n_iter_no_change": 0}, "`n_iter_no_change` must be"),
    ],
)
def test_wrong_settings_are_named_before_the_function_is_called(settings, message):
    def never(*args):
        raise AssertionError("called")

    with pytest.raises(ValueError, match=message):
        minimize(never, W, (X, Y), **settings)


@pytest.mark.parametrize(
    "data, message",
    [
        ((X, Y[:5]), r"`data` must be a tuple of arrays .* got shapes \[\(6, 2\), \(5,\)\]"),
        ((X, 3.0), "`data` must be a tuple of arrays"),
        ((X[:0], Y[:0]), "`data` must be a tuple of arrays"),
        ([[1.0, 2.0], [3.0]], "inhomogeneous|`data` must"),
    ],
)
def test_data_without_one_entry_per_sample_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        minimize(losses, W, data)


def test_a_single_array_need_not_stand_in_a_tuple():
    result = minimize(lambda p, X: (np.dot(X, p["w"]) - 1) ** 2, W, X)
    assert result.nit > 0


def test_batches_need_data():
    with pytest.raises(ValueError, match='`batch_size` must be "auto" if `data` is empty; got 2'):
        minimize(lambda p: np.sum(p["w"] ** 2), W, batch_size=2)


@pytest.mark.parametrize(
    "data, loss, message",
    [
        ((X,), "squared_error", "`data` must hold the inputs of `fun` and, last, the targets"),
        ((X, numpy.stack([Y, Y], axis=1)), "squared_error", "targets of the shape of the outputs"),
        ((X, Y - 1), "binary_log_loss", r"targets in \[0, 1\]"),
        ((X, Y - 1), "poisson", "targets >= 0"),
        ((X, numpy.array(list("abcdef"))), "squared_error", "`data` must end with the targets"),
        ((X, Y * numpy.nan), "squared_error", "`data` must end with the targets"),
        ((X, sparse.csr_array(Y[:, None])), "squared_error", "`data` must end with the targets"),
    ],
)
def test_targets_that_do_not_fit_are_refused(data, loss, message):
    with pytest.raises(ValueError, match=message):
        minimize(outputs, W, data, loss=loss)


def raises(p, X, y):
    raise KeyError("no such thing")


def with_math(p, X, y):
    return math.exp(p["w"][0]) + np.dot(X, p["w"])


def in_place(p, X, y):
    result = numpy.zeros(len(X))
    result[:] = np.dot(X, p["w"])
    return result


def constant(p, X, y):
    return numpy.ones(len(X))


@pytest.mark.parametrize(
    "fun, message",
    [
        (3, "`fun` must be a function"),
        (raises, "raises raised KeyError: 'no such thing'"),
        (with_math, "with_math raised TypeError: .*autograd.numpy"),
        (in_place, "in_place raised .*autograd.numpy"),
        (constant, "must depend on its parameters through autograd.numpy; constant does not"),
        (lambda p, X, y: np.mean(losses(p, X, y)), r"one loss per sample, shape \(6,\); got shape \(\)"),
        (lambda p, X, y: losses(p, X, y)[:3], r"one loss per sample, shape \(6,\); got shape \(3,\)"),
        (lambda p, X, y: losses(p, X, y)[:, None], r"got shape \(6, 1\)"),
        (lambda p, X, y: list(losses(p, X, y)), "got 'list'"),
        (lambda p, X, y: None, "got 'NoneType'"),
        (lambda p, X, y: np.log(0 * losses(p, X, y)), "must be finite at `x0`; got -inf for sample 0"),
        (lambda p, X, y: np.sqrt(-1 - losses(p, X, y)), "must be finite at `x0`; got nan for sample 0"),
        (lambda p, X, y: np.sqrt(np.sum((p["w"] - 1) ** 2) + 0 * y), r"finite gradient .* in x0\['w'\]"),
        (lambda p, X: np.dot(X, p["w"]), "raised TypeError"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_faults_of_the_function_are_named(fun, message):
    with pytest.raises(ValueError, match=message):
        minimize(fun, W, (X, Y))


def test_a_vector_without_data_is_refused():
    with pytest.raises(
        ValueError, match=r"`fun` must return a number, since `data` is empty; got shape \(2,\)"
    ):
        minimize(lambda p: p["w"] ** 2, W)


def test_a_faulty_loss_of_outputs_is_named():
    with pytest.raises(ValueError, match="`loss` must have"):
        minimize(outputs, W, (X, Y), loss=lambda y, z: np.mean((y - z) ** 2))


def counted(fails_at, fault):
    calls = []

    def fun(p, X, y):
        calls.append(1)
        return fault(p) if len(calls) > fails_at else np.exp(np.dot(X, p["w"])) - y * np.dot(X, p["w"])

    return fun


def error(p):
    raise RuntimeError("lost connection")


@pytest.mark.parametrize(
    "fault, message",
    [(error, "lost connection"), (lambda p: p["w"] ** 2, "one loss per sample")],
)
@pytest.mark.parametrize("curvature", ["hessian", "auto", "empirical_fisher"])
def test_a_fault_in_a_run_keeps_the_last_good_point(fault, message, curvature):
    settings = dict(curvature=curvature, max_iter=100, tol=1e-12)
    with pytest.raises(FunctionFault, match=message) as caught:
        minimize(counted(7, fault), W, (X, Y), **settings)
    result = caught.value.result
    assert (result.success, result.stop_reason, result.status) == (False, "error", 8)
    z = X @ result.x["w"]
    assert result.fun == pytest.approx(numpy.mean(numpy.exp(z) - Y * z), rel=1e-12)
    assert result.nit == len(result.history["loss"]) >= 1
    assert message in result.message


def test_a_fault_between_batches_keeps_the_last_epoch():
    settings = dict(curvature="hessian", batch_size=3, max_iter=100, tol=1e-12, random_state=0)
    with pytest.raises(FunctionFault, match="lost connection") as caught:
        minimize(counted(40, error), W, (X, Y), **settings)
    result = caught.value.result
    epochs = result.nit
    assert epochs >= 1 and len(result.history["loss"]) == 2 * epochs
    wanted = minimize(counted(10**6, error), W, (X, Y), **settings | {"max_iter": epochs})
    numpy.testing.assert_array_equal(result.x["w"], wanted.x["w"])
    assert numpy.isnan(result.jac["w"]).all()


@pytest.mark.parametrize("curvature", ["hessian", "auto"])
def test_steps_to_points_where_the_function_is_undefined_are_rejected(curvature):
    result = minimize(
        lambda p: p["a"] - np.log(p["a"]), {"a": 0.01}, curvature=curvature, tol=1e-8, max_iter=500
    )
    assert result.success
    assert result.x["a"] == pytest.approx(1.0, abs=1e-7)


def test_entries_that_exceed_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr("qnewton_sk.autodiff.problem.available_memory_bytes", lambda: 1e9)
    x0 = {"w": numpy.ones(20_000)}

    def fun(p):
        raise AssertionError("called")

    with pytest.raises(ValueError, match="fit into memory, since scheduler=.paper. needs .* 20,000 unknowns"):
        minimize(fun, x0, scheduler="paper")
    with pytest.raises(ValueError, match="`x0` must fit into memory; got 20,000 parameters"):
        monkeypatch.setattr("qnewton_sk.machine.memory.VECTOR_COPIES", 1e5)
        minimize(fun, x0)


def test_large_systems_are_solved_by_products_only():
    result = minimize(
        lambda p: np.sum((p["w"] - 1) ** 4 + (p["w"] - 1) ** 2),
        {"w": numpy.zeros(30_000)},
        curvature="hessian",
        tol=1e-6,
    )
    assert result.success
    assert set(result.history["backend"]) == {"cg"}
