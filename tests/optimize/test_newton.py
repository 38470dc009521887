"""The loop: known optima, honest endings, no work done twice, batches, blocks, runs that repeat to the bit."""

import math
from functools import partial

import numpy as np
import pytest
from cases import LOSSES, NETS
from functions import Entries, Function, Squares, quadratic, rosenbrock, waves
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from qnewton_sk import Backend, QNewtonClassifier, QNewtonRegressor, Scheduler, Solver, SystemFacts
from qnewton_sk.conditioning.prepare import prepare
from qnewton_sk.curvature.auto import AutoCurvature
from qnewton_sk.curvature.matrices import GaussNewton, Hessian
from qnewton_sk.nets.activations import resolve_activation
from qnewton_sk.nets.losses import LogisticCrossEntropy, SoftmaxCrossEntropy, resolve_loss
from qnewton_sk.nets.network import Network
from qnewton_sk.nets.objective import Objective
from qnewton_sk.optimize.controls import FixedStep, LineSearch, TrustRegion
from qnewton_sk.optimize.newton import Newton
from qnewton_sk.optimize.records import COLUMNS, StepRecord, history_table
from qnewton_sk.optimize.state import FIRST_FORECAST, NORM_AGE
from qnewton_sk.scheduling.backends import classical_backends
from qnewton_sk.solvers.conjugate_gradients import CG
from qnewton_sk.solvers.dense import LDL, Cholesky
from qnewton_sk.systems.cost_estimate import CostEstimate
from qnewton_sk.systems.solution import SolveStatus, failure

SEEDS = st.integers(0, 10**6)
CONTROLS = [TrustRegion(), LineSearch()]
MEASURED = {name for name in COLUMNS if name.endswith("_seconds")} - {"modelled_seconds"}


class Broken(Solver):
    """A solver that always fails, in the way it is told."""

    def __init__(self, status=SolveStatus.FAILED):
        self.status = status

    def rejection_reason(self, facts):
        return None

    def solve(self, system):
        return failure(system, self.status)


class Refusing(Broken):
    """A solver that takes nothing."""

    def rejection_reason(self, facts):
        return "not today"


def free(facts, tol):
    """A cost of nothing."""
    return CostEstimate(1e-9, {}, "none")


def only(solver, name="mine"):
    return Scheduler([Backend(name, solver, free)])


def loop(control=None, curvature=None, scheduler=None, preparing=prepare, **settings):
    given = dict(max_iter=100, tol=1e-8)
    return Newton(
        curvature or Entries(),
        scheduler or Scheduler(classical_backends()),
        control or TrustRegion(),
        preparing,
        **given | settings,
    )


def run(f, theta, *arguments, seed=0, **settings):
    """All progress of a run, and its records."""
    progress = list(loop(*arguments, **settings).run(f, theta, np.random.RandomState(seed)))
    return progress, [record for epoch in progress for record in epoch.steps]


exactly = partial(prepare, condition_number="exact")


def linear(X, Y, loss, alpha):
    """The objective of a linear model."""
    return Objective(Network((X.shape[1], Y.shape[1]), (), loss), X, Y, alpha=alpha)


# -- runs one after the other --------------------------------------------------------------------------------


def test_a_run_can_begin_with_the_damping_of_another_one():
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), y[:, None] / y.std()
    network = Network((10, 4, 1), [resolve_activation("tanh")], resolve_loss("squared_error"))
    objective = Objective(network, X, y)
    theta = network.initial(np.random.RandomState(0))
    newton = loop(TrustRegion(), GaussNewton(), max_iter=4)
    first = list(newton.run(objective.with_alpha(1.0), theta, np.random.RandomState(0)))[-1]
    control = first.resume.state.control
    with_other_penalty = objective.with_alpha(2.0)
    alone = next(newton.run(with_other_penalty, first.theta, np.random.RandomState(0)))
    after = next(newton.run(with_other_penalty, first.theta, np.random.RandomState(0), control=control))
    assert after.steps[0].damping == control.damping != alone.steps[0].damping


# -- known optima --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curvature", [Hessian(), GaussNewton(), Hessian("layer"), AutoCurvature()], ids=str)
@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: type(c).__name__)
def test_a_linear_model_is_ridge_regression(control, curvature):
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), y[:, None] / y.std()
    objective = linear(X, y, resolve_loss("squared_error"), 3.0)
    progress, _ = run(objective, np.zeros(objective.n_params), control, curvature)
    ridge = Ridge(alpha=3.0).fit(X, y.ravel())
    assert progress[-1].converged
    np.testing.assert_allclose(progress[-1].theta[:-1], ridge.coef_, atol=1e-6)
    assert progress[-1].theta[-1] == pytest.approx(ridge.intercept_, abs=1e-6)


@pytest.mark.parametrize("curvature", [Hessian(), AutoCurvature()], ids=str)
@pytest.mark.parametrize(
    "load, loss", [(load_iris, SoftmaxCrossEntropy), (load_breast_cancer, LogisticCrossEntropy)]
)
def test_a_linear_model_is_logistic_regression(load, loss, curvature):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    Y = LabelBinarizer().fit_transform(y).astype(float)
    objective = linear(X, Y, loss(), 2.0)
    progress, _ = run(objective, np.zeros(objective.n_params), None, curvature, max_iter=500)
    theirs = LogisticRegression(C=0.5, tol=1e-10, max_iter=10**4).fit(X, y)
    assert progress[-1].converged
    W = progress[-1].theta[: X.shape[1] * Y.shape[1]].reshape(X.shape[1], Y.shape[1])
    np.testing.assert_allclose(W.T, theirs.coef_, atol=1e-5)


@given(SEEDS, st.integers(1, 8), st.sampled_from([Cholesky(), LDL(), CG()]))
def test_an_undamped_step_solves_a_quadratic(seed, n, solver):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, n))
    A, b = B @ B.T + np.eye(n), rng.standard_normal(n)
    progress, records = run(
        quadratic(A, b),
        3 * rng.standard_normal(n),
        FixedStep(0.0),
        None,
        Scheduler([Backend("mine", solver, free)], tol=1e-12),
    )
    assert progress[-1].converged and len(records) <= 3
    np.testing.assert_allclose(progress[-1].theta, np.linalg.solve(A, b), rtol=1e-6, atol=1e-7)


# -- what an ending means ------------------------------------------------------------------------------------


@settings(max_examples=60)
@example(1, "waves", FixedStep(1.0), "classical", 0)  # it climbs, and then falls too slowly to come back
@given(
    SEEDS,
    st.sampled_from(["waves", "rosenbrock"]),
    st.sampled_from(CONTROLS + [FixedStep(1.0)]),
    st.sampled_from(["classical", "failing", "indefinite", "refusing", "cg"]),
    st.sampled_from([0, 5, 60]),
)
def test_a_run_that_has_converged_stands_at_a_small_gradient(seed, kind, control, who, first_order_steps):
    f = waves(seed) if kind == "waves" else rosenbrock(4)
    scheduler = {
        "classical": None,
        "failing": only(Broken()),
        "indefinite": only(Broken(SolveStatus.NOT_POSITIVE_DEFINITE)),
        "refusing": only(Refusing()),
        "cg": only(CG()),
    }[who]
    theta = np.random.default_rng(seed).uniform(-2, 2, 4)
    progress, records = run(
        f, theta, control, None, scheduler, first_order_steps=first_order_steps, max_iter=150, tol=1e-6
    )
    last = progress[-1]
    gradient = np.abs(f._gradient(last.theta)).max()
    if last.stop_reason == "converged":
        assert last.converged and gradient <= 1e-6
    if last.converged:
        assert gradient <= 1e-3
        assert last.message == ""
    else:
        assert last.message.startswith(f"step {len(records)}: "), last
    assert last.stop_reason in {
        "converged",
        "no_improvement",
        "max_iter",
        "stalled",
        "diverged",
        "solver_failed",
    }
    assert [p.stop_reason for p in progress[:-1]] == [None] * (len(progress) - 1)
    assert last.loss == f._value(last.theta)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: type(c).__name__)
def test_a_saddle_is_left_behind(control):
    f = Function(
        lambda x: 3 + x[0] ** 2 - x[1] ** 2 + x[1] ** 4,
        lambda x: np.array([2 * x[0], -2 * x[1] + 4 * x[1] ** 3]),
        lambda x: np.diag([2.0, -2 + 12 * x[1] ** 2]),
        2,
    )
    # at smaller gradients than this the constant 3 hides the decrease of the loss
    progress, _ = run(f, np.array([1.0, 1e-3]), control, tol=1e-7)
    assert progress[-1].converged
    np.testing.assert_allclose(np.abs(progress[-1].theta), [0, math.sqrt(0.5)], atol=1e-5)


def test_too_few_epochs_say_what_is_left_and_what_to_do():
    progress, records = run(rosenbrock(2), np.array([-1.2, 1.0]), max_iter=3)
    assert len(progress) == len(records) == 3
    last = progress[-1]
    assert (last.stop_reason, last.converged) == ("max_iter", False)
    assert last.message.startswith("step 3: the 3 epochs of `max_iter` are done")
    assert "Raise `max_iter` or `tol`" in last.message


def test_no_improvement_is_counted_in_epochs():
    f = Function(lambda x: 1.0, lambda x: np.ones(2), lambda x: np.eye(2), 2)
    progress, _ = run(f, np.zeros(2), FixedStep(1.0), n_iter_no_change=4)
    assert progress[-1].stop_reason == "no_improvement" and len(progress) == 5


def test_a_loss_that_cannot_fall_stalls_with_a_remedy():
    f = Function(lambda x: float(np.any(x != 0)), lambda x: np.ones(2), lambda x: np.eye(2), 2)
    progress, records = run(f, np.zeros(2))
    last = progress[-1]
    assert (last.stop_reason, last.converged) == ("stalled", False)
    assert last.message.startswith(f"step {len(records)}: stalled (success).")
    assert not any(record.accepted for record in records) and not last.theta.any()


# -- numbers that are none -----------------------------------------------------------------------------------


def cliff(edge, beyond):
    """x^2 up to an edge, then no number."""
    return Function(
        lambda x: x @ x if np.abs(x).max() < edge else beyond,
        lambda x: 2 * x,
        lambda x: np.array([[-0.1]]),
        1,
    )


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
def test_divergence_keeps_the_last_good_parameters(beyond):
    f = cliff(100.0, beyond)  # a wrong curvature sends each step uphill, 21 times as far
    progress, records = run(f, np.ones(1), FixedStep(0.0, clip=np.inf), None, only(LDL()))
    last = progress[-1]
    assert (last.stop_reason, last.converged) == ("diverged", False)
    assert last.theta[0] == pytest.approx(21.0) and math.isfinite(last.loss)
    assert last.message.startswith("step 2: diverged (non_finite).")
    assert SolveStatus.NON_FINITE.advice in last.message
    assert [record.accepted for record in records] == [True, False]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: type(c).__name__)
def test_controls_step_back_from_a_cliff(control):
    progress, _ = run(cliff(100.0, np.nan), np.array([90.0]), control)
    assert math.isfinite(progress[-1].loss) and np.abs(progress[-1].theta[0]) < 90


@pytest.mark.parametrize("value, slope", [(np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan), (1.0, np.inf)])
@pytest.mark.parametrize("first_order_steps", [0, 3])
def test_a_start_that_is_no_number_ends_at_once(value, slope, first_order_steps):
    f = Function(lambda x: value, lambda x: slope * np.ones(2), lambda x: np.eye(2), 2)
    progress, records = run(f, np.ones(2), first_order_steps=first_order_steps)
    assert len(progress) == len(records) == 1
    assert progress[0].stop_reason == "diverged" and "step 1" in progress[0].message
    np.testing.assert_array_equal(progress[0].theta, np.ones(2))


def test_divergence_in_the_first_order_phase_keeps_the_last_good_parameters():
    progress, records = run(
        cliff(100.0, np.inf), np.ones(1), FixedStep(), first_order_steps=50, first_order_rate=3.0
    )
    assert progress[-1].stop_reason == "diverged"
    np.testing.assert_allclose(progress[-1].theta, [25.0])  # 1, -5, 25; -125 is beyond
    assert [record.phase for record in records] == ["first_order"] * 3


@pytest.mark.parametrize("control", [*CONTROLS, FixedStep()], ids=lambda c: type(c).__name__)
def test_a_curvature_that_is_no_number_leaves_first_order_steps(control):
    f = quadratic(np.diag([1.0, 2.0]), np.ones(2))
    f._hessian = lambda x: np.full((2, 2), np.nan)
    progress, records = run(f, np.zeros(2), control, max_iter=200)
    assert progress[-1].loss == pytest.approx(-0.75, abs=1e-6)
    assert {record.solve_status for record in records if record.accepted} == {"non_finite"}


# -- solvers that fail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [s for s in SolveStatus if not s.usable and s is not SolveStatus.NOT_POSITIVE_DEFINITE]
)
@pytest.mark.parametrize("control", [*CONTROLS, FixedStep()], ids=lambda c: type(c).__name__)
def test_a_failing_solver_leaves_first_order_steps_on_record(control, status):
    f = quadratic(np.diag([1.0, 3.0]), np.ones(2))
    progress, records = run(f, np.zeros(2), control, None, only(Broken(status)), max_iter=60)
    assert {(r.phase, r.backend, r.solve_status) for r in records} == {("newton", "mine", str(status))}
    accepted = [r for r in records if r.accepted]
    losses = [0.0, *(r.loss for r in accepted)]
    assert len(accepted) >= 10 and all(b <= a for a, b in zip(losses, losses[1:]))
    np.testing.assert_allclose(progress[-1].theta, [1.0, 1 / 3], atol=1e-2)
    assert not progress[-1].converged


def test_an_indefinite_matrix_gets_more_damping_until_it_is_definite():
    f = waves(3)
    theta = np.zeros(4)
    assert np.linalg.eigvalsh(f.hessian(theta))[0] < -0.1
    curvature = Entries()
    progress, records = run(f, theta, TrustRegion(1e-3), curvature, only(Cholesky()))
    first = [r for r in records if r.loss == f._value(theta)]
    assert first and {r.solve_status for r in first} == {"not_positive_definite"}
    damping = [r.damping for r in records[: len(first) + 1]]
    assert all(b > a for a, b in zip(damping, damping[1:]))
    assert records[len(first)].accepted and progress[-1].converged
    assert len([a for a in curvature.assemblies if a[1] == theta.tobytes()]) == 1


@pytest.mark.parametrize("control", [*CONTROLS, FixedStep()], ids=lambda c: type(c).__name__)
def test_where_all_refuse_first_order_steps_go_on_and_the_record_says_so(control):
    f = quadratic(np.diag([1.0, 3.0]), np.ones(2))
    progress, records = run(f, np.zeros(2), control, None, only(Refusing()), max_iter=60)
    assert {(r.backend, r.solve_status) for r in records} == {("none", "failed")}
    assert all(math.isnan(r.classical_cost) and math.isnan(r.modelled_seconds) for r in records)
    np.testing.assert_allclose(progress[-1].theta, [1.0, 1 / 3], atol=1e-2)


def test_a_solver_that_fails_where_no_step_descends_ends_the_run_with_a_remedy():
    f = Function(lambda x: float(np.any(x != 0)), lambda x: np.ones(2), lambda x: np.eye(2), 2)
    progress, _ = run(f, np.zeros(2), None, None, only(Broken(SolveStatus.SINGULAR)))
    assert progress[-1].stop_reason == "solver_failed" and not progress[-1].converged
    assert progress[-1].message == f"step 1: solver failed (singular). {SolveStatus.SINGULAR.advice}"


# -- nothing twice -------------------------------------------------------------------------------------------


@given(SEEDS, st.sampled_from(["waves", "rosenbrock"]), st.sampled_from(CONTROLS), st.booleans())
def test_no_theta_is_assembled_twice(seed, kind, control, by_parts):
    f = waves(seed) if kind == "waves" else rosenbrock(4)
    curvature = Entries([slice(0, 1), slice(1, 4)] if by_parts else None)
    theta = np.random.default_rng(seed).uniform(-3, 3, 4)
    _, records = run(f, theta, control, curvature, max_iter=40)
    assert len(set(curvature.assemblies)) == len(curvature.assemblies)
    accepted = sum(record.accepted for record in records)
    assert len(curvature.assemblies) <= (2 if by_parts else 1) * (accepted + 1)


def test_rejected_steps_do_happen_and_pay_neither_gradient_nor_assembly_again():
    f, curvature = rosenbrock(2), Entries()
    _, records = run(f, np.array([-1.2, 1.0]), TrustRegion(1e-3, radius=10.0), curvature)
    rejected = [b for a, b in zip(records, records[1:]) if not a.accepted]
    assert rejected
    assert all(record.gradient_seconds == record.hessian_seconds == 0 for record in rejected)
    assert f.gradients == 1 + sum(record.accepted for record in records)
    assert all(
        record.hessian_seconds > 0
        for a, record in zip(records, records[1:])
        if a.accepted and record.accepted
    )


def test_the_start_is_not_written_to_and_the_settings_keep_nothing():
    theta, newton = np.array([-1.2, 1.0]), loop()
    before = dict(vars(newton))
    for _ in range(2):
        last = list(newton.run(rosenbrock(2), theta, np.random.RandomState(0)))[-1]
    assert theta.tolist() == [-1.2, 1.0] and vars(newton) == before
    np.testing.assert_allclose(last.theta, [1, 1], atol=1e-6)
    assert clone(newton).max_iter == newton.max_iter


class Watched:
    """`prepare`, with what it was told written down."""

    def __init__(self):
        self.hints, self.iterations, self.tols, self.radii = [], [], [], []

    def __call__(self, matrix, rhs, tol, shift, *, norm_hint, iterations, radius):
        self.hints.append(norm_hint)
        self.iterations.append(iterations)
        self.tols.append(tol)
        self.radii.append(radius)
        return prepare(matrix, rhs, tol, shift, norm_hint=norm_hint, iterations=iterations, radius=radius)


def test_a_step_predicts_from_what_the_last_one_took():
    watched = Watched()
    run(rosenbrock(6), np.zeros(6), TrustRegion(), None, only(CG()), watched, max_iter=20)
    assert watched.iterations[0] == FIRST_FORECAST
    assert set(watched.iterations[1:]) <= set(range(1, 13))
    assert watched.hints[0] is None and all(hint > 0 for hint in watched.hints[1:])


def test_a_norm_that_nobody_has_seen_again_is_measured_anew_now_and_then():
    watched, f = Watched(), quadratic(np.diag([1.0, 2.0, 3.0]), np.ones(3))
    curvature = Entries(semidefinite=True)
    run(f, np.zeros(3), FixedStep(100.0), curvature, only(LDL()), watched, max_iter=3 * NORM_AGE)
    measured = [step for step, hint in enumerate(watched.hints) if hint is None]
    assert measured[0] == 0 and len(measured) == 3
    assert all(NORM_AGE <= b - a <= NORM_AGE + 2 for a, b in zip(measured, measured[1:]))


def test_direct_solves_make_the_iterative_one_look_better_step_by_step():
    watched = Watched()
    run(rosenbrock(3), np.zeros(3), TrustRegion(), None, only(LDL()), watched, max_iter=10)
    assert all(b == pytest.approx(0.95 * a) for a, b in zip(watched.iterations, watched.iterations[1:]))


def test_solves_become_more_exact_as_the_gradient_falls():
    watched = Watched()
    run(rosenbrock(2), np.array([-1.2, 1.0]), TrustRegion(), None, None, watched)
    assert watched.tols[0] == 0.3 and watched.tols[-1] < 0.01
    assert all(1e-6 <= tol <= 0.3 for tol in watched.tols)


def test_the_tolerance_of_the_scheduler_goes_before():
    watched = Watched()
    _, records = run(
        rosenbrock(4), np.zeros(4), LineSearch(1.0), None, Scheduler(classical_backends(), tol=1e-9), watched
    )
    assert set(watched.tols) == {1e-9}
    assert all(r.relative_residual <= 1e-7 for r in records if r.solve_status == "success")


# -- batches, blocks, first-order steps ----------------------------------------------------------------------


def squares(n=50, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    return Squares(X, X @ [1.0, -2.0, 3.0] + 0.1 * rng.standard_normal(n))


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_epoch_sees_every_sample_once(shuffle):
    f = squares()
    progress, records = run(f, np.zeros(3), batch_size=16, max_iter=3, shuffle=shuffle)
    assert [len(batch) for batch in f.seen] == [16, 16, 16, 2] * 3
    epochs = [np.concatenate(f.seen[k : k + 4]) for k in (0, 4, 8)]
    assert all(np.array_equal(np.sort(epoch), np.arange(50)) for epoch in epochs)
    assert np.array_equal(epochs[0], epochs[1]) != shuffle
    assert [p.epoch for p in progress] == [1, 2, 3] and [r.step for r in records] == list(range(1, 13))
    losses = [r.loss for r in progress[0].steps]
    assert progress[0].loss == pytest.approx(np.average(losses, weights=[16, 16, 16, 2]))


def test_batches_find_the_minimum_but_do_not_claim_it():
    f = squares(n=200)
    # a batch alone is solved exactly in a step or two: that is no minimum of all
    progress, _ = run(f, np.zeros(3), LineSearch(1.0), batch_size=100, max_iter=30)
    truth = np.linalg.lstsq(f.X, f.y, rcond=None)[0]
    np.testing.assert_allclose(progress[-1].theta, truth, atol=0.05)
    assert progress[-1].stop_reason != "converged" and len(progress) > 1


def test_the_minimum_of_one_batch_does_not_end_the_epoch():
    f = squares()
    f.y = f.X @ np.array([1.0, -2.0, 3.0])  # without noise every batch has the same minimum
    progress, records = run(f, np.array([1.0, -2.0, 3.0]), batch_size=16, max_iter=2)
    assert len(records) == 8 and len(progress) == 2
    assert progress[-1].converged  # measured on all the data, after the last epoch


@given(SEEDS, st.floats(0, 3), st.booleans())
def test_the_predicted_decrease_is_that_of_the_undamped_model(seed, damping, by_parts):
    class Listens(FixedStep):
        def take(self, objective, theta, value, gradient, direction, state):
            seen.append((gradient, direction))
            return super().take(objective, theta, value, gradient, direction, state)

    rng, seen = np.random.default_rng(seed), []
    B = rng.standard_normal((4, 4))
    A = B @ B.T + np.eye(4)
    parts = [slice(0, 1), slice(1, 4)] if by_parts else [slice(0, 4)]
    f = quadratic(A, rng.standard_normal(4))
    run(f, rng.standard_normal(4), Listens(damping), Entries(parts), only(LDL()), max_iter=1)
    ((g, direction),) = seen
    x = direction.x
    bend = sum(x[part] @ A[part, part] @ x[part] for part in parts)
    assert direction.predicted == pytest.approx(-g @ x - 0.5 * bend)


@pytest.mark.parametrize("batch_size", [50, 51, 10**6, None])
def test_a_batch_of_everything_is_no_batch(batch_size):
    f = squares()
    progress, _ = run(f, np.zeros(3), batch_size=batch_size)
    assert f.seen == [] and progress[-1].converged
    np.testing.assert_allclose(progress[-1].theta, np.linalg.lstsq(f.X, f.y, rcond=None)[0], atol=1e-7)


def test_a_diverging_batch_ends_the_run():
    class Explodes(Squares):
        def batch(self, indices):
            batch = super().batch(indices)
            if len(self.seen) == 3:
                batch.y = batch.y * np.nan
            return batch

    f = squares()
    progress, records = run(Explodes(f.X, f.y), np.zeros(3), batch_size=16)
    assert len(records) == 3 and progress[-1].stop_reason == "diverged" and "step 3" in progress[-1].message
    assert np.isfinite(progress[-1].theta).all()


@given(SEEDS)
def test_blocks_are_solved_each_for_itself(seed):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((5, 5))
    A, b, theta = B @ B.T + np.eye(5), rng.standard_normal(5), rng.standard_normal(5)
    parts = [slice(0, 2), slice(2, 5)]
    progress, records = run(
        quadratic(A, b), theta, FixedStep(0.3, clip=np.inf), Entries(parts), only(LDL()), exactly, max_iter=1
    )
    g = A @ theta - b
    truth = theta.copy()
    for part in parts:
        m = part.stop - part.start
        truth[part] -= np.linalg.solve(A[part, part] + 0.3 * np.eye(m), g[part])
    np.testing.assert_allclose(progress[-1].theta, truth, rtol=1e-8, atol=1e-9)
    kappas = [np.linalg.cond(A[part, part] + 0.3 * np.eye(part.stop - part.start)) for part in parts]
    assert records[0].condition_number == pytest.approx(max(kappas), rel=1e-3)
    assert records[0].classical_cost == pytest.approx(2e-9)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: type(c).__name__)
def test_a_failing_block_fails_the_step(control):
    class Half(Broken):
        def solve(self, system):
            return super().solve(system) if system.matrix.n == 1 else LDL().solve(system)

    _, records = run(
        waves(1),
        np.ones(4),
        control,
        Entries([slice(0, 1), slice(1, 4)]),
        only(Half(SolveStatus.SINGULAR)),
        max_iter=5,
    )
    assert {record.solve_status for record in records} == {"singular"}


def test_first_order_steps_of_the_fixed_control_follow_the_gradient():
    A = np.diag([1.0, 2.0])
    f, theta = quadratic(A, np.zeros(2)), np.array([3.0, 4.0])
    progress, records = run(f, theta, FixedStep(), first_order_steps=3, first_order_rate=0.1, max_iter=5)
    np.testing.assert_allclose(progress[2].theta, [3 * 0.9**3, 4 * 0.8**3])
    assert [r.phase for r in records] == ["first_order"] * 3 + ["newton"] * 2
    assert [r.backend for r in records[:3]] == [""] * 3 and records[3].backend
    assert {r.step_size for r in records[:3]} == {0.1}


@given(SEEDS, st.sampled_from(CONTROLS))
def test_first_order_steps_do_not_climb_and_come_first(seed, control):
    f, theta = waves(seed), np.random.default_rng(seed).uniform(-2, 2, 4)
    progress, records = run(f, theta, control, first_order_steps=6, max_iter=20)
    losses = [f._value(theta), *(r.loss for r in records)]
    assert all(b <= a for a, b in zip(losses, losses[1:]))
    assert {r.phase for r in records[:6]} == {"first_order"}
    assert {r.phase for r in records[6:]} <= {"newton"}


@given(SEEDS, st.sampled_from(CONTROLS))
def test_first_order_steps_alone_find_a_minimum_that_they_claim(seed, control):
    f, theta = waves(seed), np.random.default_rng(seed).uniform(-2, 2, 4)
    curvature = Entries()
    progress, _ = run(f, theta, control, curvature, first_order_steps=200, max_iter=200, tol=1e-6)
    assert not curvature.assemblies
    assert progress[-1].converged and np.abs(f._gradient(progress[-1].theta)).max() <= 1e-3


@pytest.mark.parametrize("case", [NETS[2], LOSSES[1], LOSSES[4], LOSSES[6]], ids=str)
def test_auto_begins_with_first_order_steps_and_ends_with_newtons(case):
    objective = case.objective()
    settings = dict(max_iter=400, tol=1e-6, n_iter_no_change=50)
    progress, records = run(objective, case.theta(), None, AutoCurvature(), **settings)
    phases = [r.phase for r in records]
    assert phases == sorted(phases)  # "first_order" < "newton"
    assert progress[-1].converged
    assert np.abs(objective.value_and_grad(progress[-1].theta)[1]).max() <= 1e-4


def test_auto_has_no_early_phase_under_a_control_without_line_search():
    case = LOSSES[1]
    assert AutoCurvature().initial(case.objective()).kind == "first_order"
    _, records = run(case.objective(), case.theta(), FixedStep(), AutoCurvature(), max_iter=5)
    assert {r.phase for r in records} == {"newton"}


# -- records and repetition ----------------------------------------------------------------------------------


def test_records_tell_where_a_step_began_and_where_it_led():
    f, theta = rosenbrock(2), np.array([-1.2, 1.0])
    progress, records = run(f, theta, TrustRegion(0.7))
    assert list(history_table(records)) == list(COLUMNS) and all(type(r) is StepRecord for r in records)
    before = theta
    assert records[0].damping == 0.7
    for epoch, record in zip(progress, records):
        assert record.gradient_norm == pytest.approx(np.linalg.norm(f._gradient(before)))
        assert record.loss == epoch.loss == f._value(epoch.theta)
        assert record.accepted == (not np.array_equal(before, epoch.theta))
        before = epoch.theta
        assert record.backend in {b.name for b in classical_backends()}
        assert record.classical_cost >= record.modelled_seconds > 0 and math.isnan(record.quantum_cost)
        assert record.condition_number >= 1
        assert (
            min(
                record.gradient_seconds, record.hessian_seconds, record.schedule_seconds, record.solve_seconds
            )
            >= 0
        )


def test_modelled_time_is_that_of_whoever_was_chosen():
    _, records = run(
        quadratic(np.diag([1.0, 2.0]), np.ones(2)), np.zeros(2), None, None, Scheduler(hardware="attosecond")
    )
    assert {r.backend for r in records} == {"qlsa"}
    for r in records:
        assert r.modelled_seconds == r.quantum_cost < r.classical_cost
        assert r.break_even_gate_time > 1e-18


def same_records(a, b):
    for name in set(COLUMNS) - MEASURED:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(
    "make, given",
    [
        (QNewtonClassifier, {}),
        (QNewtonClassifier, {"curvature": "hessian", "scheduler": "quantum"}),
        (QNewtonClassifier, {"curvature": "empirical_fisher", "batch_size": 40, "regularization": 1.0}),
        (QNewtonClassifier, {"oracle_sparsity": 6, "curvature": "gauss_newton", "partition": "layer"}),
        (QNewtonRegressor, {}),
        (QNewtonRegressor, {"step_control": "line_search", "curvature": "hessian", "loss": "huber"}),
        (QNewtonRegressor, {"step_control": "fixed", "regularization": 1.0, "first_order_steps": 5}),
    ],
)
def test_the_same_seed_gives_the_same_fit_to_the_last_bit(make, given):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    settings = dict(max_iter=15, n_iter_no_change=15, random_state=7, tol=0.0) | given
    with pytest.warns():
        one, other = (make((5,), **settings).fit(X, y) for _ in range(2))
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_):
        np.testing.assert_array_equal(a, b)
    same_records(one.history_, other.history_)
    assert one.loss_curve_ == other.loss_curve_


@given(SEEDS)
def test_the_same_seed_gives_the_same_run_of_batches(seed):
    (one, a), (other, b), (third, _) = (
        run(squares(), np.zeros(3), batch_size=7, max_iter=3, seed=s) for s in (seed, seed, seed + 1)
    )
    np.testing.assert_array_equal(one[-1].theta, other[-1].theta)
    same_records(history_table(a), history_table(b))
    assert not np.array_equal(one[-1].theta, third[-1].theta)


def test_facts_of_a_step_are_those_that_the_scheduler_sees():
    class Listens(Scheduler):
        def choose(self, facts, tol, offered=None):
            seen.append(facts)
            return super().choose(facts, tol, offered)

    seen = []
    _, records = run(rosenbrock(3), np.zeros(3), None, None, Listens(classical_backends()), max_iter=4)
    assert all(isinstance(facts, SystemFacts) for facts in seen)
    assert [facts.kappa for facts in seen] == [r.condition_number for r in records]
    assert [facts.shift for facts in seen] == [r.damping for r in records]
