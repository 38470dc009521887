"""Parameters without a linear system take first-order steps beside the Newton steps of the others."""

import autograd.numpy as np
import numpy
import pytest
from models import inputs, mixed, parameters

from qnewton_sk import Direction, LineSearch, Scheduler, TrustRegion, classical_backends, minimize
from qnewton_sk.autodiff import AutogradHessian, WithFirstOrder


def coupled(p):
    return np.sum((p["a"] - 1) ** 2 * np.array([1.0, 100.0])) + 2 * (p["b"] - p["a"][0]) ** 2


X0 = {"a": numpy.zeros(2), "b": 4.0}


def test_a_fixed_step_is_the_rate_times_the_gradient():
    result = minimize(
        coupled,
        X0,
        curvature="hessian",
        first_order="b",
        first_order_rate=0.25,
        step_control="fixed",
        regularization=0.5,
        scheduler=Scheduler([backend for backend in classical_backends() if backend.name == "lu"]),
        max_iter=1,
    )
    gradient_b = 4 * 4.0
    assert result.x["b"] == pytest.approx(4.0 - 0.25 * gradient_b, rel=1e-12)
    gradient_a, H = numpy.array([-2.0 - 16.0, -200.0]), numpy.diag([6.0, 200.0])
    wanted = -numpy.linalg.solve(H + 0.5 * numpy.eye(2), gradient_a)
    numpy.testing.assert_allclose(result.x["a"], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "step_control, rate",
    [("trust_region", 0.2), ("trust_region", 100.0), ("line_search", 0.2), ("line_search", 2.0)],
)
def test_runs_end_at_the_minimum_whatever_the_rate(step_control, rate):
    result = minimize(
        coupled,
        X0,
        curvature="hessian",
        first_order="b",
        first_order_rate=rate,
        step_control=step_control,
        tol=1e-6,
        max_iter=500,
        n_iter_no_change=numpy.inf,
    )
    assert result.success
    numpy.testing.assert_allclose(result.x["a"], [1, 1], atol=1e-5)
    assert result.x["b"] == pytest.approx(1.0, abs=1e-5)


def test_only_the_systems_of_the_other_parameters_are_solved():
    seen = []

    class Watched(AutogradHessian):
        def blocks(self, objective, theta):
            blocks = super().blocks(objective, theta)
            seen.extend(block.matrix.n for block in blocks)
            return blocks

    minimize(coupled, X0, curvature=Watched(), first_order="b", max_iter=3)
    assert set(seen) == {2}


def test_large_tables_are_updated_without_a_system():
    rng = numpy.random.default_rng(0)
    tokens, y = rng.integers(30_000, size=(20, 4)), rng.standard_normal(20)

    def losses(p, tokens, y):
        return (np.dot(np.mean(p["table"][tokens], axis=1), p["w"]) - y) ** 2

    x0 = {"table": rng.standard_normal((30_000, 3)), "w": rng.standard_normal(3)}
    result = minimize(
        losses,
        x0,
        (tokens, y),
        curvature="empirical_fisher",
        scheduler="paper",
        first_order="table",
        step_control="fixed",
        regularization=1.0,
        max_iter=5,
        n_iter_no_change=numpy.inf,
    )
    assert result.fun < losses(x0, tokens, y).mean()
    unused = numpy.setdiff1d(numpy.arange(30_000), tokens)
    numpy.testing.assert_array_equal(result.x["table"][unused], x0["table"][unused])


def test_damping_shortens_the_step_if_the_loss_may_not_rise():
    control = WithFirstOrder(LineSearch(damping=0.5), slice(0, 1), rate=0.25)
    whole = control.completed(numpy.array([9.0]), Direction(numpy.zeros(1), 0.0), control.initial())
    assert whole.x[0] == pytest.approx(-9.0 / 4.5)


def test_prediction_is_that_of_the_model_with_an_identity_over_the_rate():
    gradient = numpy.array([1.0, -2.0, 3.0])
    direction = Direction(numpy.array([0.5, 0.0, 0.0]), 0.7)
    control = WithFirstOrder(LineSearch(damping=0.0), slice(1, 3), rate=0.5)
    whole = control.completed(gradient, direction, control.initial())
    numpy.testing.assert_allclose(whole.x, [0.5, 1.0, -1.5])
    step, g = whole.x[1:], gradient[1:]
    assert whole.predicted == pytest.approx(0.7 - g @ step - step @ step)
    assert direction.x[1] == 0.0


def test_steps_are_cut_at_the_radius():
    control = WithFirstOrder(TrustRegion(), slice(0, 2), rate=1e6)
    state = control.initial()
    radius = control.radius_of(state)
    whole = control.completed(numpy.array([30.0, 40.0]) * radius, Direction(numpy.zeros(2), 0.0), state)
    assert numpy.linalg.norm(whole.x) == pytest.approx(radius)


def test_mini_batches_and_groups_work_together():
    y = mixed(parameters(5), inputs(24))
    result = minimize(
        mixed,
        parameters(),
        (inputs(24), y),
        loss="squared_error",
        curvature="gauss_newton",
        partition={"outer": ["in", "out"], "inner": "shared"},
        first_order="gate",
        batch_size=8,
        max_iter=10,
        random_state=0,
    )
    start = 0.5 * numpy.mean((mixed(parameters(), inputs(24)) - y) ** 2)
    assert result.fun < 0.2 * start
    assert len(result.history["loss"]) == 30
