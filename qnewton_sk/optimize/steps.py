"""The three kinds of step: along the gradient, quasi-Newton and Newton, each with one method `take`.

``take(objective, state) -> (state, record, ending)``: `state` is a `LoopState` with its point evaluated; the record is
the row of the history; the ending is None while the run goes on.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnewton_sk.systems import SolveStatus, fault_of

from .quasi_newton import CurvaturePairs, wolfe_search
from .records import StepRecord, changed, solve_columns
from .solve import Stages, checked_blocks, solve_step
from .state import CONVERGED, Ending, ending
from .step_control import check_trial

MAX_FORCING, MIN_FORCING = 0.3, 1e-6
"""Maximum and minimum relative residual of an inexact Newton system (Eisenstat and Walker 1996 start at 0.5)."""

SUFFICIENT_DECREASE, MAX_HALVINGS = 1e-4, 60
"""Constants of the step along the gradient that replaces a failed solve (Nocedal and Wright 2006, section 3.1)."""

ROUNDING_ADVICE = (
    "The loss cannot be lowered further in floating-point arithmetic. Scale the inputs and targets "
    "(StandardScaler), raise `tol`, or fit in float64."
)

NO_DECREASE_ADVICE = (
    "No step along the solutions lowers the loss, however short. Check that the gradient of a loss or activation of "
    "your own is right; otherwise raise `tol` or scale the inputs (StandardScaler)."
)

SADDLE_ADVICE = (
    "The gradient is within `tol`, but the curvature is indefinite there: a saddle or a flat direction. Raise "
    "`alpha`, lower `tol` to go on, or fit from another `random_state`."
)


MAX_SINGLE_ERROR = 1e-4
"""Relative error of objective and gradient at the start up to which early steps are taken in single precision: its
rounding errors are a hundredth of that, unless numbers leave its range or cancel."""

MIN_SINGLE_DECREASE, MIN_SINGLE_GRADIENT, MIN_SINGLE_VALUE = 1e-5, 1e-4, 1e-3
"""Relative decrease of the objective in a step, and gradient and objective relative to those at the start, at which
early steps go over to double precision. Rounding errors of single precision, some 1e-7, are then a few per cent of the
decrease, a thousandth of the gradient, or, where outputs and targets cancel, 1e-7 sqrt(1000) of a sum of squares."""

BLANK = StepRecord(0, "", math.nan, math.nan, math.nan, math.nan, False)
"""Record that those of the steps are made from, in half the time that the constructor of a frozen dataclass takes."""


def record_of(before, after, phase, accepted, step_size, solve=None, gradient_seconds=None):
    """Return the `StepRecord` of a step: the loss is where it led, gradient and damping are where it began.

    `gradient_seconds` are those of the state before unless others are given.
    """
    return changed(
        BLANK,
        step=before.step,
        phase=phase,
        loss=after.point.value,
        gradient_norm=before.point.norm,
        damping=before.control.damping,
        step_size=step_size,
        accepted=accepted,
        gradient_seconds=before.gradient_seconds if gradient_seconds is None else gradient_seconds,
        hessian_seconds=before.hessian_seconds,
        **({} if solve is None else solve_columns(solve)),
    )


@dataclass(frozen=True)
class GradientStep:
    """A step of constant length along the negative gradient, even if it raises the loss."""

    rate: float

    def take(self, objective, state):
        """Return the next state, the record and the ending; the run diverges if the loss is not finite."""
        new = state.theta - self.rate * state.point.gradient
        value = objective.value(new)
        if not math.isfinite(value):
            end = ending(state, "diverged", SolveStatus.NON_FINITE)
            return state.billed(), record_of(state, state, "first_order", False, 0.0), end
        after = state.moved(objective, new, value)
        return after, record_of(state, after, "first_order", True, self.rate), None


@dataclass(frozen=True)
class QuasiNewtonStep:
    """An L-BFGS step with a Wolfe line search.

    Parameters
    ----------
    policy : object
        Is told what the step gained, and that first-order steps are exhausted if there is none to take.
    tol : float
        Largest gradient entry at which the step is not taken.
    may_end : bool, default=False
        Whether a small gradient ends the run; otherwise the policy hands over to Newton steps.
    """

    policy: Any
    tol: float
    may_end: bool = False

    def take(self, objective, state):
        """Return the next state, the record and the ending."""
        if state.single is None:
            state = _with_precision(objective, state)
        if state.pairs is None:
            state = changed(state, pairs=CurvaturePairs(state.theta.size, state.theta.dtype))
        if state.point.has_gradient_below(self.tol):
            state = state.in_double(objective)
            if state.point.has_gradient_below(self.tol):
                return self._hand_over(state)
        point, direction = state.point, state.pairs.direction(state.point.gradient)
        start = time.perf_counter()
        where = state.in_precision(objective)
        found, gradients = wolfe_search(where, point.theta, point.value, point.gradient, direction)
        seconds = state.gradient_seconds + time.perf_counter() - start
        cost = state.gradients + state.gradient_cost * gradients
        spent = dict(gradients=cost, gradient_seconds=seconds)
        if found is None:
            state = changed(state, **spent)
            if state.single:  # rounding may be why nothing was found
                return self.take(objective, state.in_double(objective))
            return self._hand_over(state)
        length, theta, value, gradient = found
        policy = self.policy.after(state.policy, point.value, value, gradients)
        after = state.moved(objective, theta, value, gradient, policy=policy, gradients=spent["gradients"])
        if state.single and _is_too_fine(state, after):
            after = after.in_double(objective)
        record = record_of(state, after, "first_order", True, length, gradient_seconds=seconds)
        return after, record, None

    def _hand_over(self, state):
        """No quasi-Newton step helps any more: drop the pairs; if the policy is free to choose, Newton steps finish."""
        small = state.point.has_gradient_below(self.tol)
        policy = self.policy.exhausted(state.policy)
        after = changed(state.billed(), pairs=None, policy=policy, is_closing=small)
        arrived = self.may_end and small
        return after, record_of(state, after, "first_order", False, 0.0), CONVERGED if arrived else None


def _with_precision(objective, state):
    """Return the state in single precision if that is faster, and agrees with double precision here."""
    if not getattr(objective, "is_faster_in_single", False):
        return changed(state, single=False)
    point, trial = state.point, changed(state, point=None, single=True).evaluated(objective)
    error = trial.point.gradient - point.gradient
    agrees = (
        abs(trial.point.value - point.value) <= MAX_SINGLE_ERROR * abs(point.value)
        and math.sqrt(error.dot(error)) <= MAX_SINGLE_ERROR * point.norm
    )
    return trial if agrees else changed(state, single=False, gradients=trial.gradients)


def _is_too_fine(before, after):
    """Whether a step in single precision, or the gradient after it, is so small that rounding begins to show."""
    point, (first_norm, first_value) = after.point, before.scale
    return (
        before.point.value - point.value <= MIN_SINGLE_DECREASE * abs(point.value)
        or point.norm <= MIN_SINGLE_GRADIENT * first_norm
        or abs(point.value) <= MIN_SINGLE_VALUE * first_value
    )


@dataclass(frozen=True)
class NewtonStep:
    """A Newton step: blocks of curvature, one linear solve each, and the step control.

    Parameters
    ----------
    stages : Stages
        How systems are prepared, chosen for and solved; with the step control.
    curvature : object
        ``blocks(objective, theta) -> [Block]``.
    policy : object
        Is told what the step gained.
    tol : float
        Largest gradient entry at a minimum.
    max_saddle_steps : int
        Maximum number of steps in a row that try to leave a point of small gradient and indefinite curvature.
    max_products : int, default=None
        Limit on the products of iterative solves.
    """

    stages: Stages
    curvature: Any
    policy: Any
    tol: float
    max_saddle_steps: int = 10
    max_products: int | None = None

    def take(self, objective, state):
        """Return the next state, the record and the ending."""
        state = state.in_double(objective)
        is_retry = state.blocks is not None  # which uses the products of the first try again
        state = self._with_blocks(objective, state)
        solve = solve_step(self.stages, state, self._forcing(state), self.max_products)
        state = changed(
            state,
            memory=state.memory.after(solve.blocks),
            indefinite=state.indefinite or solve.proves_indefinite,
            hessian_seconds=state.hessian_seconds + solve.assembly_seconds,
            newton_steps=state.newton_steps + (solve.products is None),
            products=state.products + (0 if is_retry else solve.products or 0),
        )
        if not solve.is_usable:
            return self._fall_back(objective, state, solve)
        if state.point.has_gradient_below(self.tol):
            if not state.indefinite or self._is_flat_enough(state, solve):
                return state.billed(), record_of(state, state, "newton", False, 0.0, solve), CONVERGED
            state = changed(state, saddle_steps=state.saddle_steps + 1)
            if solve.is_indefinite or state.saddle_steps > self.max_saddle_steps:
                return self._at_a_saddle(state, solve)
        else:
            state = changed(state, saddle_steps=0)
        return self._try(objective, state, solve)

    def _with_blocks(self, objective, state):
        if state.blocks is not None:
            return state
        start = time.perf_counter()
        with fault_of("the object that `curvature` holds"):
            blocks = self.curvature.blocks(objective, state.theta)
        blocks = checked_blocks(blocks, state.point.gradient)
        seconds = state.hessian_seconds + time.perf_counter() - start
        return changed(state, blocks=blocks, hessian_seconds=seconds, pairs=None)

    def _forcing(self, state):
        """Relative residual asked of the solves: the scheduler's own, or one that tightens as the gradient falls."""
        if self.stages.scheduler.tol is not None:
            return self.stages.scheduler.tol
        first = state.scale[0]
        return max(min(MAX_FORCING, math.sqrt(state.point.norm / first if first else 0.0)), MIN_FORCING)

    def _try(self, objective, state, solve):
        """Hand the direction to the step control; move if it accepts."""
        control, point = self.stages.control, state.point
        with fault_of("the object that `step_control` holds"):
            trial = control.take(
                objective, state.theta, point.value, point.gradient, solve.direction, state.control
            )
        check_trial(trial, state.theta)
        end = None
        if trial.accepted:
            after = changed(
                state.moved(objective, trial.theta, trial.value),
                control=trial.state,
                memory=state.memory.judged(solve.blocks, _log_decrease(point.value, trial.value)),
            )
        else:
            after = changed(state.billed(), control=trial.state)
            end = self._after_rejection(after, solve)
        policy = self.policy.after(
            state.policy, point.value, after.point.value, 1.0 if trial.accepted else 0.5
        )
        record = record_of(state, after, "newton", trial.accepted, trial.step_size, solve)
        return changed(after, policy=policy), record, end

    def _is_flat_enough(self, state, solve):
        """Whether negative curvature is within the tolerance: no eigenvalue below -sqrt(tol).

        That is the second-order condition which belongs to a gradient of `tol` (Nesterov and Polyak 2006, "Cubic
        regularization of Newton method and its global performance"). A step of length r that the model predicts to
        gain p proves every eigenvalue to be at least -2 p / r^2; a solved definite system, at least minus its shift.
        """
        direction, radius = solve.direction, self.stages.control.radius_of(state.control)
        if solve.is_indefinite:
            return False
        if direction.shift is None:
            bound = state.control.damping
        else:
            bound = 2 * direction.predicted / radius**2 if radius else math.inf
        return bound <= math.sqrt(self.tol)

    def _at_a_saddle(self, state, solve):
        """The gradient is small but the curvature indefinite: more damping may lead away; the run ends if it cannot."""
        control = self.stages.control
        after = changed(state.billed(), control=control.failed(state.control))
        given_up = not control.is_monotone or control.is_stuck(after.control)
        end = None
        if given_up or state.saddle_steps > self.max_saddle_steps:
            end = Ending("saddle", False, f"step {state.step}: {SADDLE_ADVICE}")
        return after, record_of(state, after, "newton", False, 0.0, solve), end

    def _after_rejection(self, state, solve):
        """The ending after a rejected trial, if there is one."""
        if not self.stages.control.is_monotone:
            return ending(state, "diverged", SolveStatus.NON_FINITE)
        noise = 4 * np.finfo(state.point.gradient.dtype).eps * abs(state.point.value)
        lost_in_rounding = 0 <= solve.direction.predicted <= noise
        if not (lost_in_rounding or self.stages.control.is_stuck(state.control)):
            return None
        if state.point.has_gradient_below(self.tol):
            return Ending("saddle", False, f"step {state.step}: {SADDLE_ADVICE}")
        advice = ROUNDING_ADVICE if lost_in_rounding else NO_DECREASE_ADVICE
        return Ending("stalled", False, f"step {state.step}: stalled ({solve.status}). {advice}")

    def _fall_back(self, objective, state, solve):
        """No usable solution: more damping, and a first-order step unless more damping makes the matrix definite."""
        control = self.stages.control
        failed = changed(state, control=control.failed(state.control))
        if control.is_monotone and solve.status is SolveStatus.NOT_POSITIVE_DEFINITE:
            return failed.billed(), record_of(state, failed, "newton", False, 0.0, solve), None
        point, rate = state.point, state.rate
        for _ in range(MAX_HALVINGS):
            new = state.theta - rate * point.gradient
            value = objective.value(new)
            if value <= point.value - SUFFICIENT_DECREASE * rate * point.norm**2:
                after = changed(failed.moved(objective, new, value), rate=2 * rate)
                return after, record_of(state, after, "newton", True, rate, solve), None
            rate /= 2
        end = ending(state, "solver_failed", solve.status)
        return failed.billed(), record_of(state, failed, "newton", False, 0.0, solve), end


def _log_decrease(before, value):
    """Return the decrease of log(loss); zero if the loss has not decreased or is not positive."""
    return math.log(before / value) if before > value > 0 else 0.0
