"""Parts of a user that fail or return nonsense: an error that names the parameter, or a refusal and a finite model.

What a part does in its first call shows before any work; these are good in the first call, as it is tried on a few
numbers, and misbehave later.
"""

import re

import autograd.numpy as anp
import numpy as np
import pytest

from qnewton_sk import (
    Backend,
    Block,
    ConditionNumber,
    CostEstimate,
    Curvature,
    QNewtonRegressor,
    Scheduler,
    Solution,
    Solver,
    SolveStatus,
    StepControl,
    SystemMatrix,
    Trial,
    TrustRegion,
    quantum_backend,
    solution_of,
)
from qnewton_sk.solvers import LU

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 3))
T = X[:, 0] + 0.1 * RNG.standard_normal(12)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def raises(*arguments, **settings):
    """Fail as the code of a user may."""
    raise RuntimeError("out of luck")


def loss_that(result):
    """A loss that is good on the few samples it is tried on, and returns this on more."""

    def own(y, z):
        return anp.mean((y - z) ** 2, axis=1) if len(z) < 6 else result(y, z)

    return own


def activation_that(result):
    """An activation that is good on the few numbers it is tried on, and returns this on more."""

    def own(z):
        return anp.tanh(z) if z.size < 12 else result(z)

    return own


class Part:
    """An object with one method."""

    def __init__(self, **methods):
        vars(self).update(methods)


class OwnSolver(Solver):
    """A solver that returns what it was told."""

    def __init__(self, result):
        self.result = result

    def solve(self, system):
        return self.result(system)


class OwnCurvature(Curvature):
    """A curvature that returns what it was told."""

    def __init__(self, result):
        self.result = result

    def blocks(self, objective, theta):
        return self.result(objective, theta)


class OwnControl(StepControl):
    """A step control that returns what it was told."""

    damping = 1.0

    def __init__(self, result):
        self.result = result

    def take(self, objective, theta, value, gradient, direction, state):
        return self.result(theta, state)


def solver_of(result):
    """A scheduler with one backend, whose solver returns this."""
    return Scheduler([Backend("mine", OwnSolver(result), lambda facts, tol: CostEstimate(1e-6))])


def cost_of(result):
    """A scheduler with one backend, whose cost is this."""
    return Scheduler([Backend("mine", LU(), result)])


def queries_of(result):
    """A scheduler with a quantum backend, whose query count is this."""
    return Scheduler([quantum_backend(queries=result)])


def matrix_block(entries):
    """A curvature of one block with these entries."""

    def blocks(objective, theta):
        matrix = SystemMatrix.from_entries(entries(theta.size), check=False)
        return [Block(slice(0, theta.size), matrix)]

    return OwnCurvature(blocks)


FAULTS = {
    "loss raises": ("loss", loss_that(raises)),
    "loss is nan": ("loss", loss_that(lambda y, z: anp.mean(z, axis=1) * np.nan)),
    "loss is a number": ("loss", loss_that(lambda y, z: anp.sum((y - z) ** 2))),
    "loss has columns": ("loss", loss_that(lambda y, z: (y - z) ** 2)),
    "activation raises": ("activation", activation_that(raises)),
    "activation is nan": ("activation", activation_that(lambda z: z * np.nan)),
    "activation sums up": ("activation", activation_that(lambda z: anp.sum(z))),
    "curvature raises": ("curvature", OwnCurvature(raises)),
    "curvature is none": ("curvature", OwnCurvature(lambda objective, theta: None)),
    "curvature is empty": ("curvature", OwnCurvature(lambda objective, theta: [])),
    "curvature is no block": ("curvature", OwnCurvature(lambda objective, theta: [np.eye(theta.size)])),
    "curvature has another order": ("curvature", matrix_block(lambda n: np.eye(n + 1))),
    "curvature is nan": ("curvature", matrix_block(lambda n: np.full((n, n), np.nan))),
    "curvature is zero": ("curvature", matrix_block(lambda n: np.zeros((n, n)))),
    "curvature is asymmetric": (
        "curvature",
        matrix_block(lambda n: np.triu(np.ones((n, n))) + n * np.eye(n)),
    ),
    "condition number raises": ("condition_number", Part(estimate=raises)),
    "condition number is nan": (
        "condition_number",
        Part(estimate=lambda matrix: ConditionNumber(np.nan, "exact")),
    ),
    "condition number is none": ("condition_number", Part(estimate=lambda matrix: None)),
    "condition number is a str": ("condition_number", Part(estimate=lambda matrix: "large")),
    "condition number is negative": (
        "condition_number",
        Part(estimate=lambda matrix: ConditionNumber(-1.0, "exact")),
    ),
    "condition number is a float": ("condition_number", Part(estimate=lambda matrix: 10.0)),
    "solver raises": ("scheduler", solver_of(raises)),
    "solver returns none": ("scheduler", solver_of(lambda system: None)),
    "solver returns an array": ("scheduler", solver_of(lambda system: system.rhs)),
    "solver returns another shape": (
        "scheduler",
        solver_of(lambda s: Solution(np.ones(3), SolveStatus.SUCCESS, 0.0)),
    ),
    "solver returns nan": (
        "scheduler",
        solver_of(lambda s: Solution(s.rhs * np.nan, SolveStatus.SUCCESS, 0.0)),
    ),
    "solver returns zeros": ("scheduler", solver_of(lambda s: Solution(s.rhs * 0, SolveStatus.SUCCESS, 0.0))),
    "solver returns huge numbers": (
        "scheduler",
        solver_of(lambda s: Solution(s.rhs * 1e300, SolveStatus.SUCCESS, 0.0)),
    ),
    "cost raises": ("scheduler", cost_of(raises)),
    "cost is none": ("scheduler", cost_of(lambda facts, tol: None)),
    "cost is a float": ("scheduler", cost_of(lambda facts, tol: 1.0)),
    "cost is negative": ("scheduler", cost_of(lambda facts, tol: CostEstimate(-1.0))),
    "cost is nan": ("scheduler", cost_of(lambda facts, tol: CostEstimate(np.nan))),
    "cost is a str": ("scheduler", cost_of(lambda facts, tol: CostEstimate("dear"))),
    "queries raise": ("scheduler", queries_of(raises)),
    "queries are none": ("scheduler", queries_of(lambda kappa, tol, alpha: None)),
    "queries are negative": ("scheduler", queries_of(lambda kappa, tol, alpha: -1.0)),
    "queries are nan": ("scheduler", queries_of(lambda kappa, tol, alpha: np.nan)),
    "step control raises": ("step_control", OwnControl(raises)),
    "step control returns none": ("step_control", OwnControl(lambda theta, state: None)),
    "step control accepts nan": (
        "step_control",
        OwnControl(lambda theta, state: Trial(theta * np.nan, np.nan, 1.0, True, state)),
    ),
    "step control never moves": (
        "step_control",
        OwnControl(lambda theta, state: Trial(theta, 1.0, 0.0, False, state)),
    ),
}
"""Parts that fail or return nonsense, with the parameter that has to be named."""

NAMES = {
    "loss": "loss",
    "activation": "activation",
    "curvature": "curvature",
    "condition_number": "condition_number|estimate",
    "scheduler": "backend|solver|cost|queries|model",
    "step_control": "step_control",
}
"""Words one of which an error about a part has to have."""


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_part_that_misbehaves_is_named_or_refused_and_leaves_a_good_model(fault):
    name, part = FAULTS[fault]
    net = QNewtonRegressor((2,), max_iter=5, random_state=0, **{"curvature": "hessian", name: part})
    try:
        net.fit(X, T)
    except Exception as error:
        words = " ".join([str(error), *getattr(error, "__notes__", [])])
        assert re.search(f"`[^`]*({NAMES[name]})[^`]*`", words), f"{type(error).__name__}: {words}"
    else:
        net.predict(X)
        assert all(np.isfinite(part).all() for part in [*net.coefs_, *net.intercepts_])
        assert not net.converged_ or abs(gradient_in_the_last_intercept(net)) <= net.tol + 1e-9


def gradient_in_the_last_intercept(net):
    """One entry of the gradient of the squared error, which has no penalty: the mean residual."""
    return np.mean(net.predict(X) - T)


# -- in the middle of a fit ----------------------------------------------------------------------------------


class FailsLater(TrustRegion):
    """A trust region that raises in its fourth step."""

    def take(self, objective, theta, value, gradient, direction, state):
        trial = super().take(objective, theta, value, gradient, direction, state)
        calls.append(1)
        return trial if len(calls) < 4 else raises()


calls = []


class NanLater(Solver):
    """A direct solver whose fourth answer has another shape."""

    def solve(self, system):
        calls.append(1)
        x = np.linalg.solve(system.matrix.dense(), system.rhs)
        return solution_of(system, x) if len(calls) < 4 else system.rhs


LATER = {
    "step_control": FailsLater(),
    "scheduler": Scheduler([Backend("mine", NanLater(), lambda facts, tol: CostEstimate(1e-6))]),
    "loss": lambda y, z: raises() if len(calls) >= 3 else anp.mean((y - z) ** 2, axis=1),
}


@pytest.mark.parametrize("settings", [{}, {"diagnostics": True}, {"posterior": "full"}])
@pytest.mark.parametrize("name", list(LATER))
def test_a_part_that_fails_in_the_middle_leaves_the_model_of_the_last_step(name, settings):
    if name == "loss":
        settings = {key: value for key, value in settings.items() if key != "posterior"}
        settings["step_control"] = Counting()
    calls.clear()
    net = QNewtonRegressor((2,), curvature="hessian", random_state=0, **settings, **{name: LATER[name]})
    with pytest.raises((RuntimeError, ValueError)) as raised:
        net.fit(X, T)
    words = " ".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert re.search(f"`[^`]*({NAMES[name]})[^`]*`", words), words
    assert (net.stop_reason_, net.converged_) == ("error", False)
    assert 0 < net.n_steps_ < 5 and net.loss_ == net.loss_curve_[-1] < net.loss_curve_[0] + 1e-12
    assert all(np.isfinite(part).all() for part in [*net.coefs_, *net.intercepts_])
    assert np.isfinite(net.predict(X)).all()
    if name == "step_control":
        good = QNewtonRegressor((2,), curvature="hessian", random_state=0, max_iter=net.n_iter_).fit(X, T)
        np.testing.assert_array_equal(net.predict(X), good.predict(X))


class Counting(TrustRegion):
    """A trust region that counts its steps."""

    def take(self, *arguments):
        calls.append(1)
        return super().take(*arguments)


def test_a_part_that_fails_in_a_refit_leaves_the_first_model():
    net = QNewtonRegressor((2,), curvature="hessian", random_state=0, max_iter=5).fit(X, T)
    before = net.predict(X)
    calls.clear()
    net.set_params(step_control=FailsLater())
    with pytest.raises(RuntimeError, match="out of luck"):
        net.fit(X, 2 * T)
    np.testing.assert_array_equal(net.predict(X), before)
    assert net.stop_reason_ != "error"
