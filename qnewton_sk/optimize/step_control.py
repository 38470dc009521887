"""How far to go along a direction, and what damping the next system gets.

The cut: a solver turns a damped system into a direction; a step control turns a direction into a step and
the next damping. State goes in and comes out, so that a control is settings only.

- `FixedStep`: theta + beta p, constant damping: the paper's step.
- `LineSearch`: backtrack along p until the loss falls enough; damping rises when the solve fails.
- `TrustRegion`: take p or leave it, by the ratio of actual to predicted decrease; damping and radius follow.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

SUFFICIENT_DECREASE = 1e-4
"""Share of the linear prediction that a step must achieve (Nocedal and Wright 2006, section 3.1)."""
LARGEST_DAMPING = 1e16
"""Past this a damped step no longer moves float64 parameters."""


@dataclass(frozen=True)
class ControlState:
    """What a control carries: damping, the factor by which a rejection raises it, and the radius of trust."""

    damping: float
    growth: float = 2.0
    radius: float | None = None


@dataclass(frozen=True)
class Trial:
    """The outcome of one step: where the parameters and the objective are now."""

    theta: np.ndarray
    value: float
    step_size: float
    accepted: bool
    state: ControlState


class _Control(BaseEstimator):
    """What the controls share: damping as a constant shift, and more of it after a failure."""

    monotone = True  # whether the loss may never climb
    _smallest_raise = 1e-6  # where the damping was zero, a rise must start somewhere

    def shift(self, state, matrix):
        """Return the multiple of the identity to add to `matrix`."""
        return state.damping

    def radius_of(self, state):
        """Return the length at which a step may be cut instead of being damped, or None."""
        return state.radius

    def failed(self, state):
        """Return the state after a solve that gave no usable direction."""
        damping = max(state.damping * state.growth, self._smallest_raise)
        radius = None if state.radius is None else state.radius / 4
        return ControlState(min(damping, LARGEST_DAMPING), 2 * state.growth, radius)

    def stuck(self, state):
        """Whether the damping cannot usefully rise any more."""
        return state.damping >= LARGEST_DAMPING


class FixedStep(_Control):
    """The paper's step: theta + beta p at constant damping, whatever the loss does.

    Parameters
    ----------
    damping : float, default=1.0
        The paper's regularisation eps (arXiv:2405.00252, section V-D).
    learning_rate : float, default=1.0
        beta.
    clip : float, default=100.0
        Largest absolute entry of the direction, as in the paper's published code.
    relative : bool, default=False
        Add eps max|H| rather than eps, as in the paper's published code.
    """

    monotone = False

    def __init__(self, damping=1.0, learning_rate=1.0, clip=100.0, relative=False):
        self.damping = damping
        self.learning_rate = learning_rate
        self.clip = clip
        self.relative = relative

    def initial(self):
        """Return the state before the first step."""
        return ControlState(self.damping)

    def shift(self, state, matrix):
        """Return eps, or eps max|H| where `relative`."""
        return state.damping * float(np.abs(matrix.entries()).max()) if self.relative else state.damping

    def failed(self, state):
        """Return the state unchanged: this control is constant."""
        return state

    def take(self, objective, theta, value, gradient, direction, state):
        """Return the `Trial`; it is refused only where the loss is no number any more."""
        new = theta + self.learning_rate * np.clip(direction.x, -self.clip, self.clip)
        new_value = objective.value(new)
        if not math.isfinite(new_value):
            return Trial(theta, value, self.learning_rate, False, state)
        return Trial(new, new_value, self.learning_rate, True, state)


class LineSearch(_Control):
    """Armijo backtracking along the direction (Nocedal and Wright 2006, algorithm 3.1).

    Parameters
    ----------
    damping : float, default=1e-3
        Multiple of the identity at the start; it rises after failed solves and falls after full steps.
    learning_rate : float, default=1.0
        First step length that is tried.
    shrink : float, default=0.5
        Factor from one trial to the next.
    max_trials : int, default=30
        Trials before the step is given up.
    """

    def __init__(self, damping=1e-3, learning_rate=1.0, shrink=0.5, max_trials=30):
        self.damping = damping
        self.learning_rate = learning_rate
        self.shrink = shrink
        self.max_trials = max_trials

    def initial(self):
        """Return the state before the first step."""
        return ControlState(self.damping)

    def take(self, objective, theta, value, gradient, direction, state):
        """Return the `Trial`; a direction that does not descend is refused and the damping raised."""
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
        """After a success, damping that failures have raised comes down again, never below the setting."""
        return ControlState(max(self.damping, state.damping / 3))


class TrustRegion(_Control):
    """Damping and radius by the ratio rho of actual to predicted decrease.

    The two bound the same step: a direct solver takes the damping, an iterative one the radius. After a
    damped step the radius is set by its length; after a cut one the damping is the shift it belongs to.

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
        Least ratio of a step that is taken.
    smallest : float, default=1e-14
        Below this the damping does not fall.
    """

    def __init__(self, damping=1e-3, radius=1.0, learning_rate=1.0, accept=1e-4, smallest=1e-14):
        self.damping = damping
        self.radius = radius
        self.learning_rate = learning_rate
        self.accept = accept
        self.smallest = smallest

    def initial(self):
        """Return the state before the first step."""
        return ControlState(self.damping, radius=self.radius)

    def take(self, objective, theta, value, gradient, direction, state):
        """Return the `Trial`."""
        if not direction.predicted > 0:
            return Trial(theta, value, 0.0, False, self.failed(state))
        step = self.learning_rate * direction.x
        new = theta + step
        new_value = objective.value(new)
        ratio = (value - new_value) / direction.predicted
        length, slope = math.sqrt(step @ step), float(gradient @ step)
        shorter = length * _parabola_share(slope, new_value - value)
        if not ratio > self.accept:  # also where the value is NaN
            state = replace(self.failed(state), radius=shorter)
            return Trial(theta, value, 0.0, False, state)
        state = ControlState(
            self._damping(direction, ratio, state), radius=_radius(state, length, ratio, shorter, direction)
        )
        return Trial(new, new_value, self.learning_rate, True, state)

    def _damping(self, direction, ratio, state):
        factor = max(1 / 3, 1 - (2 * min(ratio, 2.0) - 1) ** 3)
        start = state.damping if not direction.shift else direction.shift
        return min(max(start * factor, self.smallest), LARGEST_DAMPING)


def _parabola_share(slope, change):
    """Share of the step at which the parabola through both values and the slope is least, in [0.1, 0.5]."""
    if not math.isfinite(change):
        return 0.1
    bend = change - slope
    return min(max(-0.5 * slope / bend, 0.1), 0.5) if bend > 0 else 0.25


def _radius(state, length, ratio, shorter, direction):
    """The next radius after an accepted step."""
    if ratio < 0.25:
        return shorter
    if ratio <= 0.75:
        return length if direction.shift is None else state.radius
    # A step inside the ball tells little about its size: it then grows less.
    return 3 * length if direction.shift != 0 else max(state.radius, 1.5 * length)


def resolve_step_control(step_control, *, regularization, learning_rate_init):
    """Return the control of a name, or the one given.

    Parameters
    ----------
    step_control : {"trust_region", "line_search", "fixed"} or object
        An object needs `initial`, `shift`, `take`, `failed`, `stuck` and `monotone`.
    regularization : float
        Damping at the start, in units of the Hessian.
    learning_rate_init : float
        beta.

    Raises
    ------
    ValueError
        For anything else.
    """
    if all(
        hasattr(step_control, method)
        for method in ("initial", "shift", "take", "failed", "stuck", "monotone")
    ):
        return step_control
    named = {"trust_region": TrustRegion, "line_search": LineSearch, "fixed": FixedStep}
    if not isinstance(step_control, str) or step_control not in named:
        raise ValueError(
            f"`step_control` must be one of {sorted(named)} or an object like qnewton_sk.optimize.TrustRegion; "
            f"got {step_control!r}"
        )
    return named[step_control](damping=regularization, learning_rate=learning_rate_init)


class Direction(NamedTuple):
    """Where a step may go.

    That is x of shape (n_params,), the decrease that the undamped model promises, and the shift that belongs to
    x, None where it was the system's own.
    """

    x: np.ndarray
    predicted: float
    shift: float | None = None
