"""The step controls that ship with the package.

- `FixedStep`: theta + beta p at constant damping, the paper's step.
- `LineSearch`: backtracks along p until the loss decreases enough; the damping rises if the solve fails.
- `TrustRegion`: accepts p or rejects it by the ratio of actual to predicted decrease; damping and radius follow.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .step_control import MAX_DAMPING, MIN_RADIUS, ControlState, Direction, StepControl, Trial

Array = NDArray[Any]

SUFFICIENT_DECREASE = 1e-4
"""Share of the linear prediction that a step must achieve (Nocedal and Wright 2006, section 3.1)."""


class FixedStep(StepControl):
    """The paper's step: theta + beta p at constant damping, even if it raises the loss.

    Parameters
    ----------
    damping : float, default=1.0
        The paper's regularisation eps (arXiv:2405.00252, section V-D).
    learning_rate : float, default=1.0
        beta.
    clip : float, default=100.0
        Maximum absolute entry of the direction, as in the paper's published code.
    relative : bool, default=False
        Add eps max|H| rather than eps, as in the paper's published code; this needs the entries of H, or its factor if
        that has fewer rows.
    """

    is_monotone = False

    def __init__(
        self, damping: float = 1.0, learning_rate: float = 1.0, clip: float = 100.0, relative: bool = False
    ) -> None:
        self.damping = damping
        self.learning_rate = learning_rate
        self.clip = clip
        self.relative = relative

    def shift(self, state: ControlState, matrix: Any) -> float:
        """Return eps, or eps max|H| if `relative`."""
        return state.damping * matrix.max_abs() if self.relative else state.damping

    def failed(self, state: ControlState) -> ControlState:
        """Return the state unchanged: this control is constant."""
        return state

    def take(
        self,
        objective: Any,
        theta: Array,
        value: float,
        gradient: Array,
        direction: Direction,
        state: ControlState,
    ) -> Trial:
        """Return the `Trial`; it is rejected only if the loss is not finite."""
        new = theta + self.learning_rate * np.clip(direction.x, -self.clip, self.clip)
        new_value = objective.value(new)
        if not math.isfinite(new_value):
            return Trial(theta, value, self.learning_rate, False, state)
        return Trial(new, new_value, self.learning_rate, True, state)


class LineSearch(StepControl):
    """Armijo backtracking along the direction (Nocedal and Wright 2006, algorithm 3.1).

    Parameters
    ----------
    damping : float, default=1e-3
        Multiple of the identity at the start; it rises after failed solves and falls after accepted steps.
    learning_rate : float, default=1.0
        First step length that is tried.
    shrink : float, default=0.5
        Factor from one trial to the next.
    max_trials : int, default=30
        Maximum number of trials before the step is given up.
    """

    def __init__(
        self, damping: float = 1e-3, learning_rate: float = 1.0, shrink: float = 0.5, max_trials: int = 30
    ) -> None:
        self.damping = damping
        self.learning_rate = learning_rate
        self.shrink = shrink
        self.max_trials = max_trials

    def take(
        self,
        objective: Any,
        theta: Array,
        value: float,
        gradient: Array,
        direction: Direction,
        state: ControlState,
    ) -> Trial:
        """Return the `Trial`; a direction that is no descent direction is rejected and the damping raised."""
        slope = float(gradient @ direction.x)
        length = self.learning_rate
        if slope < 0:
            for _ in range(self.max_trials):
                new = theta + length * direction.x
                new_value = objective.value(new)
                if new_value <= value + SUFFICIENT_DECREASE * length * slope:
                    return Trial(new, new_value, length, True, self._relaxed(state))
                length *= self.shrink
        return Trial(theta, value, 0.0, False, self.failed(state))

    def _relaxed(self, state):
        """The state after a success: damping that failures have raised falls again, never below the setting."""
        return ControlState(max(self.damping, state.damping / 3))


class TrustRegion(StepControl):
    """Damping and radius by the ratio rho of actual to predicted decrease.

    The two bound the same step: a solver that shifts the matrix takes the damping, one that bounds the length takes
    the radius. After a damped step the radius is set by its length; after a bounded one the damping is the shift
    that the step belongs to.

    Damping: times max(1/3, 1 - (2 rho - 1)^3) after a step, times 2, 4, 8, .. after rejections (Nielsen
    1999, IMM-REP-1999-05, equation 2.5). Radius: three times the step's length where rho > 3/4, and the
    minimiser of the parabola through both values where rho < 1/4 (Lin, More 1999, "Newton's method for
    large bound-constrained problems", section 4).

    Parameters
    ----------
    damping : float, default=1e-3
        At the start.
    radius : float, default=1.0
        At the start, in units of the parameters.
    learning_rate : float, default=1.0
        Factor on every step.
    accept : float, default=1e-4
        Minimum ratio of a step that is accepted.
    smallest : float, default=1e-14
        Minimum damping.
    """

    def __init__(
        self,
        damping: float = 1e-3,
        radius: float = 1.0,
        learning_rate: float = 1.0,
        accept: float = 1e-4,
        smallest: float = 1e-14,
    ) -> None:
        self.damping = damping
        self.radius = radius
        self.learning_rate = learning_rate
        self.accept = accept
        self.smallest = smallest

    def initial(self) -> ControlState:
        """Return the state before the first step."""
        return ControlState(self.damping, radius=self.radius)

    def take(
        self,
        objective: Any,
        theta: Array,
        value: float,
        gradient: Array,
        direction: Direction,
        state: ControlState,
    ) -> Trial:
        """Return the `Trial`."""
        predicted = direction.predicted_at(self.learning_rate, gradient)
        if not predicted > 0:
            return Trial(theta, value, 0.0, False, self.failed(state))
        step = self.learning_rate * direction.x
        new = theta + step
        new_value = objective.value(new)
        ratio = (value - new_value) / predicted
        # The radius bounds the solution, of which the step may be a fraction.
        length, slope = math.sqrt(direction.x @ direction.x), float(gradient @ step)
        shorter = length * _parabola_share(slope, new_value - value)
        if not ratio > self.accept:  # also if the value is NaN
            state = replace(self.failed(state), radius=max(shorter, MIN_RADIUS))
            return Trial(theta, value, 0.0, False, state)
        radius = max(_next_radius(state, length, ratio, shorter, direction), MIN_RADIUS)
        state = ControlState(self._next_damping(direction, ratio, state), radius=radius)
        return Trial(new, new_value, self.learning_rate, True, state)

    def _next_damping(self, direction, ratio, state):
        factor = max(1 / 3, 1 - (2 * min(ratio, 2.0) - 1) ** 3)
        start = state.damping if not direction.shift else direction.shift
        return min(max(start * factor, self.smallest), MAX_DAMPING)


def _parabola_share(slope, change):
    """Share of the step at which the parabola through both values and the slope is minimal, in [0.1, 0.5]."""
    if not math.isfinite(change):
        return 0.1
    curvature = change - slope
    return min(max(-0.5 * slope / curvature, 0.1), 0.5) if curvature > 0 else 0.25


def _next_radius(state, length, ratio, shorter, direction):
    """The next radius after an accepted step."""
    if ratio < 0.25:
        return shorter
    if ratio <= 0.75:
        return length if direction.shift is None else state.radius
    # A step inside the ball tells little about the best radius, which then grows less.
    return 3 * length if direction.shift != 0 else max(state.radius, 1.5 * length)


CONTROLS = {"trust_region": TrustRegion, "line_search": LineSearch, "fixed": FixedStep}
"""Step controls by name."""


def resolve_step_control(step_control, *, regularization, learning_rate_init):
    """Return the control of a name, or the one given.

    Parameters
    ----------
    step_control : {"trust_region", "line_search", "fixed"} or StepControl
        A name, or a control.
    regularization : float
        Damping at the start, in units of the Hessian.
    learning_rate_init : float
        Factor on the step.

    Raises
    ------
    ValueError
        If it is neither, or a setting of the control is out of range.
    """
    if isinstance(step_control, StepControl):
        step_control.check()
        return step_control
    if isinstance(step_control, str) and step_control in CONTROLS:
        return CONTROLS[step_control](damping=regularization, learning_rate=learning_rate_init)
    raise ValueError(
        f"`step_control` must be one of {sorted(CONTROLS)} or an object of a subclass of "
        f"qnewton_sk.StepControl; got {step_control!r}"
    )
