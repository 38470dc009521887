"""The Newton loop: what happens in a step, in which order, and the record it leaves.

The loop knows no net, no solver and no curvature: whatever offers `value`, `value_and_grad`, `batch` and
`n_samples` can be minimised, by the stages that it is given. One step:

    gradient -> blocks of curvature -> prepare -> choose -> solve -> step control -> record
"""

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import gen_batches

from qnewton_sk.systems import SolveStatus

from .quasi_newton import CurvaturePairs, wolfe_search
from .records import Progress, StepRecord, solve_columns
from .step_control import Direction

LARGEST_FORCING = 0.3
"""Loosest relative residual of an inexact Newton system (Eisenstat and Walker 1996 start at 0.5)."""
FIRST_FORECAST = 10
"""Products expected of the first iterative solve: early steps end at the radius after a few."""
FLAT = 5e-3
"""Predicted decrease, relative to the loss, up to which a flat point counts as a minimum. A nearly separable
classification creeps on for hundreds of steps below this; test accuracy on digits gains up to here."""
FLAT_AT_ALL = 0.03
"""The same in units of `tol` times the first loss, for losses that creep on towards zero at small gradients; at 0.1,
test accuracy on digits is lower by 0.7 %, at 0.01 samples of weight 1e-7 decide how a fit ends."""
POOR_GAIN = 0.005
"""Fall of log(loss) in a step by an iterative solver, below which its next one counts as longer than it is."""
RELUCTANCE, MOST_RELUCTANT = 1.25, 100.0
"""By how much more from step to step, and in all. Truncated steps creep where a direction of negative curvature
is flat, hundreds of them on parity-8; an exact step leaves at once, and is then the cheaper one."""
NORM_AGE = 10
"""Steps after which the norm of the curvature is measured anew; it changes slowly along a fit."""
FORGETTING = 0.95
"""Factor on the forecast of an iterative solver after each step that a direct one took; where the direct one
was cheaper by two, the iterative one gets its next try after some 14 steps."""

LARGEST_BEND = 0.75
"""Acceleration relative to the step from which on it is left out (Transtrum and Sethna 2012, section 3)."""

_INDEFINITE = frozenset({SolveStatus.NOT_POSITIVE_DEFINITE, SolveStatus.NEGATIVE_CURVATURE})


@dataclass
class _Point:
    """Where the run is: parameters, objective, gradient, and what the next step inherits."""

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    gradient_seconds: float
    blocks: list | None = None
    hessian_seconds: float = 0.0
    indefinite: bool = False  # whether a solve here has found the curvature to be indefinite
    norm: float = field(init=False)  # of the gradient

    def __post_init__(self):
        self.norm = math.sqrt(self.gradient @ self.gradient)

    @property
    def finite(self):
        """Whether objective and gradient are numbers; a norm may overflow where no entry does."""
        return math.isfinite(self.value) and (
            math.isfinite(self.norm) or bool(np.isfinite(self.gradient).all())
        )


@dataclass
class _Memory:
    """What one step leaves for the next one to predict with, for each block."""

    norms: dict
    products: dict
    first_gradient_norm: float | None = None
    first_value: float = 0.0
    reluctance: float = 1.0  # how much longer a solve by an iterative solver counts than it is

    def forecast(self, index):
        """Products that an iterative solver is expected to take, more than they are where they have led nowhere."""
        return self.products.get(index, FIRST_FORECAST) * self.reluctance

    def judge(self, solutions, gained):
        """Note what a step has gained in log(loss), if an iterative solver was in it."""
        if any(solution.products is not None for solution in solutions):
            factor = RELUCTANCE if gained < POOR_GAIN else 1 / RELUCTANCE
            self.reluctance = min(max(self.reluctance * factor, 1.0), MOST_RELUCTANT)

    def norm(self, index):
        """A norm of the matrix seen of late, or None where it is to be measured anew."""
        norm, age = self.norms.get(index, (None, 0))
        return norm if age < NORM_AGE else None

    def learn(self, index, solution, decision, facts):
        """Note what the solve took; a solve cut short by its limit would have taken more than twice that."""
        seen, age = solution.norm, self.norms.get(index, (None, NORM_AGE))[1] + 1
        if seen is not None:
            self.norms[index] = seen, 0
        elif facts.norm is not None:
            self.norms[index] = max(facts.norm - facts.shift, 0.0), 0 if age > NORM_AGE else age
        taken = solution.products
        if taken is None:
            self.products[index] = self.products.get(index, FIRST_FORECAST) * FORGETTING
        elif solution.status is SolveStatus.MAX_ITERATIONS:
            self.products[index] = 2.0 * (decision.max_products or taken)
        else:
            self.products[index] = max(1.0, float(taken))


@dataclass
class _Solved:
    """All the blocks of a step solved: the direction and what it cost."""

    direction: np.ndarray
    predicted: float
    status: SolveStatus
    facts: list
    decisions: list
    solutions: list
    schedule_seconds: float
    solve_seconds: float
    usable: bool
    shift: float | None = None
    indefinite: bool = False

    def as_direction(self):
        """What the step control needs of it."""
        return Direction(self.direction, self.predicted, self.shift)


class Newton(BaseEstimator):
    """Settings of the loop; `run` goes through it and keeps nothing.

    Parameters
    ----------
    curvature : object
        ``blocks(objective, theta) -> [Block]``.
    scheduler : object
        ``available_backends()``, ``choose(facts, tol, offered)``, ``solve(system, decision, offered)``, ``tol``.
    step_control : object
        See `qnewton_sk.optimize.step_control`.
    prepare : callable
        ``prepare(matrix, rhs, tol, shift, norm_hint=, iterations=) -> LinearSystem``.
    first_order_steps : int, default=0
        Gradient steps before the first Newton step (arXiv:2405.00252, section IV-B).
    first_order_rate : float, default=0.1
        Their step length; where the loss may not climb, the first one that is tried.
    batch_size : int, default=None
        Samples a step; None takes all.
    max_iter : int, default=200
        Epochs. With the full batch, one epoch is one step.
    tol : float, default=1e-6
        Stop when the largest gradient entry is at most `tol` and the predicted decrease at most 0.5 % of the loss,
        or three hundredths of `tol` of the first loss.
    n_iter_no_change : int, default=10
        Stop after so many epochs in a row that lower the loss by less than `tol` times its value.
    shuffle : bool, default=True
        New batches each epoch.
    """

    def __init__(
        self,
        curvature,
        scheduler,
        step_control,
        prepare,
        *,
        first_order_steps=0,
        first_order_rate=0.1,
        batch_size=None,
        max_iter=200,
        tol=1e-6,
        n_iter_no_change=10,
        shuffle=True,
    ):
        self.curvature = curvature
        self.scheduler = scheduler
        self.step_control = step_control
        self.prepare = prepare
        self.first_order_steps = first_order_steps
        self.first_order_rate = first_order_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle

    def run(self, objective, theta, random_state):
        """Minimise; yield a `Progress` after every epoch, the last one with its `stop_reason`.

        Parameters
        ----------
        objective : object
            ``value(theta)``, ``value_and_grad(theta)``, ``batch(indices)``, ``n_samples``.
        theta : ndarray of shape (n_params,)
            Where to start; not written to.
        random_state : numpy.random.RandomState
            For the batches.
        """
        run = _Run(self, theta)
        best, stale = math.inf, 0
        for epoch in range(1, self.max_iter + 1):
            progress = run.epoch(objective, epoch, random_state)
            if progress.loss < best - self.tol * abs(progress.loss):
                stale = 0
            elif any(step.accepted for step in progress.steps):
                stale += 1  # a rejected trial is the search for a step, not a lack of progress
            best = min(best, progress.loss)
            if progress.stop_reason is None and stale >= self.n_iter_no_change:
                progress = run.no_improvement(progress, best)
            elif progress.stop_reason is None and epoch == self.max_iter:
                progress = run.stopped(progress, "max_iter")
            yield progress
            if progress.stop_reason is not None:
                return


class _Run:
    """One pass through the loop: the only place where state lives."""

    def __init__(self, settings, theta):
        self.settings = settings
        self.theta = theta.copy()
        self.offered = settings.scheduler.available_backends()
        self.bounded = any(backend.solver.bounds_by == "radius" for backend in self.offered)
        self.state = settings.step_control.initial()
        self.adaptive = hasattr(settings.curvature, "part")  # a curvature that decides anew from step to step
        self.curvature_state = None
        self.batches = False
        self.pairs = None
        self.rate = settings.first_order_rate
        self.memory = _Memory({}, {})
        self.steps = 0
        self.point = None

    def epoch(self, objective, epoch, random_state):
        """Go once through the data; return the `Progress`."""
        size = self.settings.batch_size
        if size is None or size >= objective.n_samples:
            record, ending = self.step(objective)
            return self._progress(self.point.value, epoch, (record,), ending)
        self.batches = True
        order = np.arange(objective.n_samples)
        if self.settings.shuffle:
            random_state.shuffle(order)
        records, losses, ending = [], [], None
        try:
            for rows in gen_batches(objective.n_samples, size):
                self.point = self.pairs = None  # a batch is an objective of its own
                record, ending = self.step(objective.batch(order[rows]))
                records.append(record)
                losses.append((self.point.value, rows.stop - rows.start))
                if ending and ending[0] != "converged":  # a batch's minimum is not that of all the data
                    break
                ending = None
        except KeyboardInterrupt:
            if not losses:
                raise
            ending = "interrupted", False, ""
        values, sizes = zip(*losses)
        return self._progress(float(np.average(values, weights=sizes)), epoch, tuple(records), ending)

    def _progress(self, loss, epoch, records, ending):
        reason, converged, message = ending or (None, False, "")
        return Progress(self.theta, loss, epoch, records, reason, converged, message)

    def no_improvement(self, progress, best):
        """The end of a run that lowers the loss no more.

        A minimum only where the steps came from solutions, and where a loss that may climb has not stayed above
        its best: batches make it waver there, all the data do not.
        """
        if not self.batches and progress.loss > best + self.settings.tol * abs(best):
            message = (
                f"step {self.steps}: the loss is {progress.loss:.4g} and has not come back to its best, {best:.4g}, in "
                f"{self.settings.n_iter_no_change} epochs. Lower `learning_rate_init`, raise `regularization`, or take "
                'step_control="trust_region".'
            )
            return self._progress(
                progress.loss, progress.epoch, progress.steps, ("no_improvement", False, message)
            )
        statuses = [SolveStatus(s.solve_status) for s in progress.steps if s.accepted and s.solve_status]
        broken = [status for status in statuses if not status.usable]
        if not broken:
            return self.stopped(progress, "no_improvement", converged=True)
        ending = self._ending("no_improvement", broken[-1])
        return self._progress(progress.loss, progress.epoch, progress.steps, ending)

    def stopped(self, progress, reason, converged=False):
        """Return the same progress as the last one of the run."""
        message = ""
        if not converged:
            message = (
                f"step {self.steps}: the {self.settings.max_iter} epochs of `max_iter` are done and the largest "
                f"gradient entry is {np.abs(self.point.gradient).max():.2g}. Raise `max_iter` or `tol`."
            )
        return Progress(self.theta, progress.loss, progress.epoch, progress.steps, reason, converged, message)

    def step(self, objective):
        """Take one step; return its record and, where the run ends, (reason, converged, message)."""
        with np.errstate(over="ignore", invalid="ignore"):  # a value that is no number is dealt with as such
            return self._step(objective)

    def _step(self, objective):
        self.steps += 1
        if self.point is None:
            self.point = _evaluate(objective, self.theta)
        point = self.point
        if not point.finite:
            return self._record("newton", False, 0.0), self._ending("diverged", SolveStatus.NON_FINITE)
        if self.memory.first_gradient_norm is None:
            self.memory.first_gradient_norm = point.norm
            self.memory.first_value = abs(point.value)
        curvature = self.settings.curvature
        if self.adaptive and self.curvature_state is None:
            self.curvature_state = curvature.initial(objective, self.batches)
        if self.steps <= self.settings.first_order_steps:
            return self._first_order(objective)
        if self.adaptive and curvature.part(self.curvature_state) is None:
            return self._first_order(objective)
        return self._newton(objective)

    def _first_order(self, objective):
        """A step that needs gradients alone: along the gradient for the fixed control, else quasi-Newton."""
        point = self.point
        if not self.settings.step_control.monotone:
            return self._gradient_step(objective)
        if self.pairs is None:
            self.pairs = CurvaturePairs(point.theta.size, point.theta.dtype)
        direction = self.pairs.direction(point.gradient)
        slope = float(point.gradient @ direction)
        if self._flat(-slope / 2):
            return self._leave_first_order(point, 0.0)
        start = time.perf_counter()
        found, gradients = wolfe_search(objective, point.theta, point.value, point.gradient, direction)
        if found is None:
            return self._leave_first_order(point, gradients)
        length, theta, value, gradient = found
        self._move(objective, theta, value, gradient)
        point.gradient_seconds += time.perf_counter() - start
        self._learn(point.value, gradients)
        return self._record("first_order", True, length, before=point), None

    def _leave_first_order(self, point, gradients):
        """No quasi-Newton step helps any more: drop the pairs; where the choice is free, Newton steps finish."""
        self.pairs = None
        if self.adaptive:
            self.curvature_state = self.settings.curvature.exhausted(self.curvature_state)
        ending = None
        if self.steps < self.settings.first_order_steps and self._flat(0.0):
            ending = ("converged", True, "")
        return self._record("first_order", False, 0.0, before=point), ending

    def _gradient_step(self, objective):
        """theta - rate g, whatever the loss does."""
        point = self.point
        new = point.theta - self.settings.first_order_rate * point.gradient
        value = objective.value(new)
        if not math.isfinite(value):
            return self._record("first_order", False, 0.0), self._ending("diverged", SolveStatus.NON_FINITE)
        self._move(objective, new, value)
        return self._record("first_order", True, self.settings.first_order_rate, before=point), None

    def _learn(self, before, gradients):
        """Tell an adaptive curvature how the step went."""
        if self.adaptive:
            after = self.settings.curvature.after
            self.curvature_state = after(self.curvature_state, before, self.point.value, gradients)

    def _newton(self, objective):
        point, control = self.point, self.settings.step_control
        solved = self._solve(objective)
        if not solved.usable:
            return self._fall_back(objective, solved)
        if self._flat(solved.predicted) and not point.indefinite:
            return self._record("newton", False, 0.0, solved), ("converged", True, "")
        if self._flat(solved.predicted) and solved.indefinite:
            return self._leave_saddle(solved)
        trial = control.take(
            objective, point.theta, point.value, point.gradient, solved.as_direction(), self.state
        )
        before, damping = point, self.state.damping
        self.state = trial.state
        if trial.accepted:
            self.memory.judge(solved.solutions, _fall(before.value, trial.value))
            self._move(objective, trial.theta, trial.value)
            ending = None
        else:
            ending = self._exhausted(solved)
        self._learn(before.value, 1.0 if trial.accepted else 0.5)
        return self._record("newton", trial.accepted, trial.step_size, solved, before, damping), ending

    def _leave_saddle(self, solved):
        """Flat but indefinite: no minimum, and this solution leads to it; one with more damping leads away."""
        control, damping = self.settings.step_control, self.state.damping
        self.state = control.failed(self.state)
        ending = None
        if not control.monotone or control.stuck(self.state):
            ending = self._ending("stalled", SolveStatus.NOT_POSITIVE_DEFINITE)
        return self._record("newton", False, 0.0, solved, self.point, damping), ending

    def _exhausted(self, solved):
        """The ending after a rejected trial, if there is one."""
        if not self.settings.step_control.monotone:
            return self._ending("diverged", SolveStatus.NON_FINITE)
        noise = 4 * np.finfo(self.point.gradient.dtype).eps * abs(self.point.value)
        if 0 <= solved.predicted <= noise:  # the promised decrease is rounding error: this is the minimum
            if self.point.indefinite:
                return self._ending("stalled", SolveStatus.NOT_POSITIVE_DEFINITE)
            return "converged", True, ""
        return (
            self._ending("stalled", solved.status) if self.settings.step_control.stuck(self.state) else None
        )

    def _fall_back(self, objective, solved):
        """No usable solution: more damping and, where damping is constant, a first-order step."""
        damping = self.state.damping
        self.state = self.settings.step_control.failed(self.state)
        before = self.point
        if self.settings.step_control.monotone and solved.status is SolveStatus.NOT_POSITIVE_DEFINITE:
            return self._record("newton", False, 0.0, solved, before, damping), None
        slope = before.norm**2
        rate = self.rate
        for _ in range(60):
            new = before.theta - rate * before.gradient
            value = objective.value(new)
            if value <= before.value - 1e-4 * rate * slope:
                self.rate = 2 * rate
                self._move(objective, new, value)
                return self._record("newton", True, rate, solved, before, damping), None
            rate /= 2
        return self._record("newton", False, 0.0, solved, before, damping), self._ending(
            "solver_failed", solved.status
        )

    def _flat(self, predicted):
        """The two-part convergence test: gradient, and decrease still to be had."""
        point, tol = self.point, self.settings.tol
        small = max(FLAT * abs(point.value), FLAT_AT_ALL * tol * self.memory.first_value)
        if not 0 <= predicted <= small or point.norm > tol * math.sqrt(point.gradient.size):
            return False
        return np.abs(point.gradient).max() <= tol

    def _move(self, objective, theta, value, gradient=None):
        before, self.theta = self.point, theta
        self.point = _evaluate(objective, theta) if gradient is None else _Point(theta, value, gradient, 0.0)
        if self.pairs is not None:
            self.pairs.add(theta - before.theta, self.point.gradient - before.gradient)

    def _ending(self, reason, status):
        return reason, False, f"step {self.steps}: {reason.replace('_', ' ')} ({status}). {status.advice}"

    def _forcing(self):
        """Relative residual asked of the solves: what is set, else tighter as the gradient falls."""
        if self.settings.scheduler.tol is not None:
            return self.settings.scheduler.tol
        share = self.point.norm / self.memory.first_gradient_norm if self.memory.first_gradient_norm else 0.0
        return max(min(LARGEST_FORCING, math.sqrt(share)), 1e-6)

    def _solve(self, objective):
        """Solve every block at the damping in force."""
        point = self.point
        if point.blocks is None:
            start = time.perf_counter()
            point.blocks = self._blocks(objective)
            point.hessian_seconds += time.perf_counter() - start
        direction = np.zeros_like(point.gradient)
        solved = _Solved(direction, 0.0, SolveStatus.SUCCESS, [], [], [], 0.0, 0.0, True)
        tol = self._forcing()
        for index, block in enumerate(point.blocks):
            self._solve_block(index, block, tol, solved)
        return solved

    def _blocks(self, objective):
        """The blocks at this point, of the curvature in force."""
        curvature = self.settings.curvature
        part = curvature.part(self.curvature_state) if self.adaptive else curvature
        return part.blocks(objective, self.point.theta)

    def _solve_block(self, index, block, tol, solved):
        point, settings, memory = self.point, self.settings, self.memory
        assembled = block.matrix.assembly_seconds
        start = time.perf_counter()
        shift = settings.step_control.shift(self.state, block.matrix)
        gradient = point.gradient[block.parameters]
        system = settings.prepare(
            block.matrix,
            -gradient,
            tol,
            shift,
            norm_hint=memory.norm(index),
            iterations=memory.forecast(index),
            radius=self._radius(),
        )
        decision = settings.scheduler.choose(system.facts, tol, self.offered)
        middle = time.perf_counter()
        assembled_by_schedule = block.matrix.assembly_seconds - assembled
        solution, correction = None, 0.0
        if decision.chosen is not None:
            solution = settings.scheduler.solve(system, decision, self.offered)
            correction = self._correction(block, system, decision, solution)
        assembled_by_solve = block.matrix.assembly_seconds - assembled - assembled_by_schedule
        solved.schedule_seconds += middle - start - assembled_by_schedule
        solved.solve_seconds += time.perf_counter() - middle - assembled_by_solve
        point.hessian_seconds += assembled_by_schedule + assembled_by_solve
        if system.facts.positive_definite is False:
            solved.indefinite = point.indefinite = True
        if settings.step_control.monotone and solution is not None:
            solution = _to_a_minimum(solution, system.facts)
        solved.facts.append(system.facts)
        solved.decisions.append(decision)
        solved.solutions.append(solution)
        if solution is not None and solution.status in _INDEFINITE:
            point.indefinite = True
        if solution is None or not solution.status.usable:
            solved.usable = False
            solved.status = SolveStatus.FAILED if solution is None else solution.status
            return
        if solution.status is not SolveStatus.SUCCESS:
            solved.status = solution.status
        memory.learn(index, solution, decision, system.facts)
        x, own_shift = solution.x, solution.shift
        if own_shift is not None:
            solved.shift = max(own_shift, solved.shift or 0.0)
        image = system.matrix.product(x) if solution.image is None else solution.image
        solved.direction[block.parameters] = x + correction
        solved.predicted += float(-gradient @ x - 0.5 * (x @ image - shift * (x @ x)))

    def _radius(self):
        """The radius of one block, where a solver can use it: all blocks together then stay inside the ball."""
        radius = self.settings.step_control.radius_of(self.state) if self.bounded else None
        return radius if radius is None else radius / math.sqrt(len(self.point.blocks))

    def _correction(self, block, system, decision, solution):
        """Half the geodesic acceleration, where the factorisation that it needs is there; zero where it is too large.

        The series in the step length, of which it is the second term, is then of no use.
        """
        accelerable = block.acceleration is not None and self.state.radius is not None
        damped = solution.status is SolveStatus.SUCCESS and solution.shift is None
        if not (accelerable and damped and system.matrix.kept):
            return 0.0
        again = replace(system, rhs=-block.acceleration(solution.x))
        bend = self.settings.scheduler.solve(again, decision, self.offered)
        small = math.sqrt(bend.x @ bend.x) <= LARGEST_BEND * math.sqrt(solution.x @ solution.x)
        return 0.5 * bend.x if small and bend.status is SolveStatus.SUCCESS else 0.0

    def _record(self, phase, accepted, step_size, solved=None, before=None, damping=None):
        """The row of the step just taken; the loss is where it led, the gradient where it began."""
        start = before or self.point
        common = dict(
            step=self.steps,
            phase=phase,
            loss=self.point.value,
            gradient_norm=start.norm,
            damping=self.state.damping if damping is None else damping,
            step_size=step_size,
            accepted=accepted,
            gradient_seconds=start.gradient_seconds,
            hessian_seconds=start.hessian_seconds,
        )
        start.gradient_seconds = start.hessian_seconds = 0.0  # a retry pays neither again
        return StepRecord(**common, **(solve_columns(solved) if solved else {}))


def _evaluate(objective, theta):
    start = time.perf_counter()
    value, gradient = objective.value_and_grad(theta)
    return _Point(theta, value, gradient, time.perf_counter() - start)


def _fall(before, value):
    """The fall of log(loss), zero where there is no such thing."""
    return math.log(before / value) if before > value > 0 else 0.0


def _to_a_minimum(solution, facts):
    """The solution, unusable where it solves a system known to be indefinite: its model has a saddle there.

    A step cut at the radius is none of that kind. More damping makes the system definite (Nocedal and Wright
    2006, section 3.4).
    """
    if facts.positive_definite is not False or solution.shift is not None or not solution.status.usable:
        return solution
    return replace(solution, status=SolveStatus.NOT_POSITIVE_DEFINITE)
