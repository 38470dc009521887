"""`minimize` takes the steps of the estimators, ends at the optima that scipy finds, and says honestly how it ended."""

import autograd.numpy as np
import numpy
import pytest
from autograd import grad, hessian
from scipy import optimize
from sklearn.datasets import load_breast_cancer, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from qnewton_sk import (
    Block,
    EmpiricalFisher,
    GaussNewton,
    Hessian,
    QNewtonRegressor,
    Scheduler,
    SystemMatrix,
    classical_backends,
    minimize,
)
from qnewton_sk.nets import Network, linear_layer, resolve_activation, resolve_loss

HIDDEN = (6,)

BATCHES = {"batch_size": 30, "step_control": "fixed", "regularization": 0.1, "max_iter": 4}


def net(params, X):
    for W, b in params[:-1]:
        X = np.tanh(linear_layer(X, W, b))
    W, b = params[-1]
    return linear_layer(X, W, b)[:, 0]


def losses(params, X, y):
    return 0.5 * (net(params, X) - y) ** 2


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.fixture(scope="module")
def friedman():
    X, y = make_friedman1(200, noise=0.1, random_state=0)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()


@pytest.fixture(scope="module")
def initial():
    """The weights that an estimator draws from seed 0, and the state of the generator after that."""
    network = Network((10, *HIDDEN, 1), [resolve_activation("tanh")], resolve_loss("squared_error"))
    random_state = numpy.random.RandomState(0)
    coefs, intercepts = network.unpack(network.initial(random_state))
    return [list(layer) for layer in zip(coefs, intercepts)], random_state


def one_backend(name):
    return Scheduler([backend for backend in classical_backends() if backend.name == name])


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}")
@pytest.mark.parametrize(
    "curvature, backend, settings",
    [
        ("hessian", "more_sorensen", {}),
        ("hessian", "cg", {}),
        ("gauss_newton", "lu", {"partition": "layer", "step_control": "line_search"}),
        ("gauss_newton", "cholesky", {}),
        ("gauss_newton", "woodbury", BATCHES),
        ("empirical_fisher", "woodbury", BATCHES),
        ("gauss_newton", "more_sorensen", {}),
    ],
)
def test_steps_are_those_of_the_regressor(friedman, initial, curvature, backend, settings):
    X, y = friedman
    settings = dict(curvature=curvature, scheduler=one_backend(backend), max_iter=15) | settings
    estimator = QNewtonRegressor(HIDDEN, alpha=0.1, random_state=0, **settings).fit(X, y)
    x0, random_state = initial
    after_the_weights = numpy.random.RandomState()
    after_the_weights.set_state(random_state.get_state())
    if settings.get("partition") == "layer":
        settings["partition"] = {"first": (0,), "second": (1,)}
    result = minimize(
        net,
        x0,
        (X, y),
        loss="squared_error",
        alpha=[[0.1, 0.0]] * 2,
        random_state=after_the_weights,
        **settings,
    )
    numpy.testing.assert_allclose(result.history["loss"], estimator.history_["loss"], rtol=1e-10)
    assert result.history["backend"].tolist() == estimator.history_["backend"].tolist()
    numpy.testing.assert_allclose(result.x[0][0], estimator.coefs_[0], rtol=0, atol=1e-7)
    assert result.stop_reason == estimator.stop_reason_
    assert result.nit == estimator.n_iter_


def test_losses_and_outputs_with_a_loss_give_the_same_hessian_steps(friedman, initial):
    X, y = friedman
    settings = dict(curvature="hessian", scheduler=one_backend("more_sorensen"), max_iter=8)
    by_outputs = minimize(net, initial[0], (X, y), loss="squared_error", **settings)
    by_losses = minimize(losses, initial[0], (X, y), **settings)
    numpy.testing.assert_allclose(by_losses.history["loss"], by_outputs.history["loss"], rtol=1e-10)


@pytest.mark.parametrize("curvature", ["auto", "hessian"])
def test_rosenbrock_ends_where_scipy_ends(curvature):
    x0 = numpy.zeros(6)
    result = minimize(rosenbrock, x0, curvature=curvature, tol=1e-8)
    truth = optimize.minimize(
        rosenbrock, x0, jac=grad(rosenbrock), hess=hessian(rosenbrock), method="trust-exact", tol=1e-8
    )
    assert result.success and truth.success
    numpy.testing.assert_allclose(result.x, truth.x, atol=1e-7)
    assert result.fun < 1e-14


CLASSICS = {
    "beale": (
        lambda x: np.sum(
            (np.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** np.array([1.0, 2.0, 3.0]))) ** 2
        ),
        [1.0, 1.0],
    ),
    "himmelblau": (lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2, [2.0, 1.0]),
    "wood": (
        lambda x: (
            100 * (x[0] ** 2 - x[1]) ** 2
            + (x[0] - 1) ** 2
            + (x[2] - 1) ** 2
            + 90 * (x[2] ** 2 - x[3]) ** 2
            + 10.1 * ((x[1] - 1) ** 2 + (x[3] - 1) ** 2)
            + 19.8 * (x[1] - 1) * (x[3] - 1)
        ),
        [-3.0, -1.0, -3.0, -1.0],
    ),
    "negative": (lambda x: -np.exp(-np.sum((x - 1) ** 2)), [0.0, 0.5]),
    "ill-conditioned": (lambda x: 0.5 * np.sum(10.0 ** np.arange(5) * x**2) - np.sum(x), [0.0] * 5),
}


@pytest.mark.parametrize("name", CLASSICS)
def test_classical_functions_end_where_scipy_ends(name):
    fun, x0 = CLASSICS[name]
    x0 = numpy.array(x0)
    result = minimize(fun, x0, tol=1e-7)
    truth = optimize.minimize(fun, x0, jac=grad(fun), hess=hessian(fun), method="trust-exact", tol=1e-7)
    assert result.success
    numpy.testing.assert_allclose(result.x, truth.x, atol=1e-6)


def test_an_unbounded_function_does_not_end_in_success():
    result = minimize(lambda x: -np.sum(x**2), [1.0, 1.0], max_iter=20)
    assert not result.success
    assert result.fun < -1e3


@pytest.mark.parametrize("curvature", ["auto", "hessian", "gauss_newton", "empirical_fisher"])
def test_logistic_regression_ends_where_scipy_ends(curvature):
    X, labels = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)

    def outputs(params, X):
        return np.dot(X, params["w"]) + params["b"]

    def objective(v):
        z = np.dot(X, v[:-1]) + v[-1]
        return np.mean(np.logaddexp(0, z) - labels * z) + 0.5 / len(X) * np.sum(v[:-1] ** 2)

    result = minimize(
        outputs,
        {"w": numpy.zeros(X.shape[1]), "b": 0.0},
        (X, labels),
        loss="binary_log_loss",
        alpha={"w": 1.0, "b": 0.0},
        curvature=curvature,
        tol=1e-7,
        max_iter=2000,
        n_iter_no_change=numpy.inf,
    )
    truth = optimize.minimize(
        objective,
        numpy.zeros(31),
        jac=grad(objective),
        hess=hessian(objective),
        method="trust-exact",
        tol=1e-9,
    )
    assert result.success
    assert result.fun == pytest.approx(truth.fun, rel=1e-9)
    numpy.testing.assert_allclose(result.x["w"], truth.x[:-1], atol=1e-4)
    assert isinstance(result.x["b"], float)


def test_softmax_regression_takes_gauss_newton_steps():
    rng = numpy.random.default_rng(0)
    X, labels = rng.standard_normal((60, 3)), rng.integers(3, size=60)

    def outputs(params, X):
        return linear_layer(X, params["w"], params["b"])

    def objective(v):
        z = np.dot(X, v[:9].reshape((3, 3))) + v[9:]
        top = np.log(np.sum(np.exp(z), axis=1))
        return np.mean(top - z[np.arange(60), labels]) + 0.5 / 60 * np.sum(v**2)

    x0 = {"w": numpy.zeros((3, 3)), "b": numpy.zeros(3)}
    data = (X, numpy.eye(3)[labels])
    results = [
        minimize(outputs, x0, data, loss="log_loss", alpha=1.0, curvature=curvature, tol=1e-8, scheduler=s)
        for curvature in ("gauss_newton", "hessian")
        for s in (one_backend("cholesky"), one_backend("cg"))
    ]
    truth = optimize.minimize(
        objective,
        numpy.zeros(12),
        jac=grad(objective),
        hess=hessian(objective),
        method="trust-exact",
        tol=1e-9,
    )
    for result in results:
        assert result.success
        numpy.testing.assert_allclose(result.x["w"].ravel(), truth.x[:9], atol=1e-6)
        assert result.nit < 10


def test_success_means_that_no_gradient_entry_exceeds_tol(friedman, initial):
    X, y = friedman
    for max_iter in (2, 500):
        result = minimize(losses, initial[0], (X, y), alpha=1.0, max_iter=max_iter, tol=1e-5)
        largest = max(numpy.abs(array).max() for layer in result.jac for array in layer)
        assert result.success == (largest <= 1e-5) == (result.status == 0) == (max_iter == 500)
        assert ("converged" in result.message) == result.success


def test_jac_is_the_gradient_and_fun_the_objective(friedman, initial):
    X, y = friedman
    result = minimize(losses, initial[0], (X, y), max_iter=3)

    def mean(params):
        return np.mean(losses(params, X, y))

    assert result.fun == pytest.approx(mean(result.x), rel=1e-14)
    for found, wanted in zip(result.jac, grad(mean)(result.x)):
        for a, b in zip(found, wanted):
            numpy.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    assert result.nfev >= result.njev >= result.nit == 3
    assert len(result.history["loss"]) == 3


@pytest.mark.parametrize("curvature", ["auto", "hessian"])
def test_a_saddle_does_not_end_in_success(curvature):
    result = minimize(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4, [0.0, 0.0], curvature=curvature)
    assert (result.success, result.stop_reason) == (False, "saddle")
    result = minimize(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4, [0.0, 0.01], curvature=curvature)
    assert result.success
    assert abs(result.x[1]) == pytest.approx(0.5**0.5, abs=1e-4)


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
@pytest.mark.parametrize("curvature", ["hessian", "gauss_newton", "empirical_fisher"])
def test_chunks_change_nothing_but_rounding(friedman, initial, chunk_size, curvature):
    X, y = friedman
    X, y = X[:15], y[:15]
    settings = dict(loss="squared_error", alpha=1.0, curvature=curvature, max_iter=3)
    settings["scheduler"] = one_backend("cg" if curvature == "hessian" else "cholesky")
    whole = minimize(net, initial[0], (X, y), **settings)
    result = minimize(net, initial[0], (X, y), chunk_size=chunk_size, **settings)
    numpy.testing.assert_allclose(result.history["loss"], whole.history["loss"], rtol=1e-9)


def test_single_precision_stays_single(friedman, initial):
    X, y = (part.astype(numpy.float32) for part in friedman)
    x0 = [[array.astype(numpy.float32) for array in layer] for layer in initial[0]]
    result = minimize(net, x0, (X, y), loss="squared_error", curvature="gauss_newton", max_iter=3)
    assert {array.dtype for layer in result.x for array in layer} == {numpy.dtype(numpy.float32)}
    double = minimize(net, initial[0], friedman, loss="squared_error", curvature="gauss_newton", max_iter=3)
    assert result.fun == pytest.approx(double.fun, rel=1e-2)


def test_two_runs_are_the_same_to_the_last_bit(friedman, initial):
    settings = dict(curvature="empirical_fisher", batch_size=50, max_iter=3, random_state=3)
    one, two = (minimize(losses, initial[0], friedman, **settings) for _ in range(2))
    assert one.history["loss"].tolist() == two.history["loss"].tolist()
    other = minimize(losses, initial[0], friedman, **settings | {"random_state": 4})
    assert other.history["loss"].tolist() != one.history["loss"].tolist()


@pytest.mark.parametrize(
    "name, curvature",
    [("hessian", Hessian()), ("gauss_newton", GaussNewton()), ("empirical_fisher", EmpiricalFisher("layer"))],
)
def test_curvature_objects_of_the_package_mean_the_same_as_their_names(friedman, initial, name, curvature):
    settings = dict(loss="squared_error", max_iter=3)
    by_object = minimize(net, initial[0], friedman, curvature=curvature, **settings)
    by_name = minimize(net, initial[0], friedman, curvature=name, partition=curvature.partition, **settings)
    assert by_object.history["loss"].tolist() == by_name.history["loss"].tolist()


def test_a_curvature_of_a_users_own_is_used():
    class Diagonal:
        def blocks(self, objective, theta):
            H = numpy.diag(numpy.array([2.0, 200.0]))
            return [Block(slice(0, 2), SystemMatrix.from_entries(H, semidefinite=True))]

    result = minimize(
        lambda p: p["a"] ** 2 + 100 * (p["b"] - 1) ** 2,
        {"a": 3.0, "b": 0.0},
        curvature=Diagonal(),
        regularization=1e-12,
        tol=1e-6,
    )
    assert result.success and result.nit <= 5
    assert (result.x["a"], result.x["b"]) == pytest.approx((0.0, 1.0), abs=1e-6)


def test_callback_sees_every_epoch_and_ends_the_run():
    seen = []

    def by_result(intermediate_result):
        seen.append(intermediate_result)

    result = minimize(rosenbrock, numpy.zeros(3), callback=by_result)
    assert [state.nit for state in seen] == list(range(1, result.nit + 1))
    assert [state.fun for state in seen] == result.history["loss"].tolist()
    numpy.testing.assert_array_equal(seen[-1].x, result.x)

    def stops(x):
        seen.append(x)
        raise StopIteration

    result = minimize(rosenbrock, numpy.zeros(3), callback=stops)
    assert (result.nit, result.status, result.success) == (1, 99, False)
    numpy.testing.assert_array_equal(seen[-1], result.x)
    assert minimize(rosenbrock, numpy.zeros(3), callback=lambda x: True).stop_reason == "callback"


def test_interruption_keeps_the_last_point():
    def interrupts(x):
        raise KeyboardInterrupt

    result = minimize(rosenbrock, numpy.zeros(3), callback=interrupts)
    assert (result.nit, result.stop_reason, result.success) == (1, "interrupted", False)
    assert result.fun == result.history["loss"][-1] <= rosenbrock(numpy.zeros(3))


def test_x_is_nested_like_x0():
    def fun(p):
        return np.sum((p["a"][0] - 1) ** 2) + (p["a"][1] - 2) ** 2 + np.sum((p["b"] - 3) ** 2)

    result = minimize(fun, {"a": (numpy.zeros((2, 2)), 0), "b": [0, 0]}, tol=1e-9)
    assert isinstance(result.x["a"], tuple) and result.x["a"][0].shape == (2, 2)
    numpy.testing.assert_allclose(result.x["a"][0], 1)
    assert result.x["a"][1] == pytest.approx(2.0)
    numpy.testing.assert_allclose(result.x["b"], [3, 3])
    assert result.jac["a"][0].shape == (2, 2)


def test_x0_and_data_are_not_written_to(friedman, initial):
    before = [[array.copy() for array in layer] for layer in initial[0]]
    X, y = friedman[0].copy(), friedman[1].copy()
    X.setflags(write=False)
    y.setflags(write=False)
    minimize(losses, initial[0], (X, y), max_iter=2)
    for layer, kept in zip(initial[0], before):
        for array, copy in zip(layer, kept):
            numpy.testing.assert_array_equal(array, copy)


def test_the_papers_scheduler_gives_costs(friedman, initial):
    X, y = friedman
    result = minimize(
        losses,
        initial[0],
        (X, y),
        curvature="hessian",
        scheduler="paper",
        step_control="fixed",
        regularization=1.0,
        max_iter=2,
    )
    assert numpy.isfinite(result.history["classical_cost"]).all()
    assert numpy.isfinite(result.history["quantum_cost"]).all()
