"""How far to go along a direction, and what damping the next system gets.

A solver turns a damped system into a direction; a step control turns a direction into a step and the next damping.
State goes in and comes out, so that a control holds settings only.

- `FixedStep`: theta + beta p at constant damping, the paper's step.
- `LineSearch`: backtracks along p until the loss decreases enough; the damping rises if the solve fails.
- `TrustRegion`: accepts p or rejects it by the ratio of actual to predicted decrease; damping and radius follow.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from qnewton_sk.systems import is_bool, is_int, is_real, must

Array = NDArray[Any]

SUFFICIENT_DECREASE = 1e-4
"""Share of the linear prediction that a step must achieve (Nocedal and Wright 2006, section 3.1)."""

MAX_DAMPING = 1e16
"""Damping above which a step no longer changes float64 parameters."""

MIN_DAMPING_AFTER_FAILURE = 1e-6
"""Damping after a failed solve without any: it then has to start somewhere."""

MIN_RADIUS = 1e-100
"""Radius below which no step changes any parameter; it keeps the radius a positive number."""


@dataclass(frozen=True)
class ControlState:
    """State of a step control.

    Parameters
    ----------
    damping : float
        Multiple of the identity that the next system gets.
    growth : float, default=2.0
        Factor by which a rejection raises the damping.
    radius : float, default=None
        Trust-region radius, in units of the parameters; None if there is none.
    """

    damping: float
    growth: float = 2.0
    radius: float | None = None


@dataclass(frozen=True)
class Trial:
    """Outcome of one step: the parameters and the objective after it, and whether it was accepted."""

    theta: np.ndarray
    value: float
    step_size: float
    accepted: bool
    state: ControlState


class Direction(NamedTuple):
    """The solution of the linear systems of a step.

    Parameters
    ----------
    x : ndarray of shape (n_params,)
        The direction.
    predicted : float
        Decrease of the undamped quadratic model at x.
    shift : float, default=None
        Shift that belongs to x if the solver has chosen it; None if it was the system's own.
    """

    x: np.ndarray
    predicted: float
    shift: float | None = None

    def predicted_at(self, length: float, gradient: Array) -> float:
        """Return the decrease of the model at `length` times x; it is quadratic in the length."""
        if length == 1:
            return self.predicted
        slope = float(gradient @ self.x)
        curvature = -2 * (slope + self.predicted)
        return -length * (slope + 0.5 * length * curvature)


class StepControl(BaseEstimator):
    """Base class of the step controls: constant damping that rises after a failure.

    A subclass has a parameter `damping` or its own `initial`, and says in `take` how far to go. The loop uses
    `is_monotone`, `initial`, `shift`, `radius_of`, `take`, `failed` and `is_stuck`, and nothing else.

    Attributes
    ----------
    is_monotone : bool
        Whether an accepted step never raises the loss.

    Examples
    --------
    >>> from qnewton_sk import QNewtonRegressor
    >>> from qnewton_sk.optimize import StepControl, Trial
    >>> class HalfStep(StepControl):
    ...     is_monotone = False
    ...
    ...     def __init__(self, damping=1.0):
    ...         self.damping = damping
    ...
    ...     def take(self, objective, theta, value, gradient, direction, state):
    ...         new = theta + 0.5 * direction.x
    ...         return Trial(new, objective.value(new), 0.5, True, state)
    >>> X = [[0.0], [1.0], [2.0], [3.0]]
    >>> net = QNewtonRegressor((), step_control=HalfStep(0.0), alpha=0.0).fit(X, [1.0, 3.0, 5.0, 7.0])
    >>> round(float(net.predict([[4.0]])[0]), 2)
    9.0
    """

    is_monotone = True

    def check(self) -> None:
        """Check the settings; called once before a fit begins.

        Raises
        ------
        ValueError
            If one of the settings of this package's controls is out of range. A subclass with settings of its own
            may check them here.
        """
        for name, (holds, expected) in SETTINGS.items():
            if name in self.get_params(deep=False) and not holds(getattr(self, name)):
                raise must(f"{name} of a {type(self).__name__}", expected, getattr(self, name))

    def initial(self) -> ControlState:
        """Return the `ControlState` before the first step."""
        return ControlState(self.damping)

    def shift(self, state: ControlState, matrix: Any) -> float:
        """Return the multiple of the identity to be added to `matrix`, a `SystemMatrix`."""
        return state.damping

    def radius_of(self, state: ControlState) -> float | None:
        """Return the length at which a step may be cut instead of being damped, or None."""
        return state.radius

    def take(
        self,
        objective: Any,
        theta: Array,
        value: float,
        gradient: Array,
        direction: Direction,
        state: ControlState,
    ) -> Trial:
        """Return the `Trial` of a step.

        Parameters
        ----------
        objective : object
            ``value(theta) -> float``.
        theta : ndarray of shape (n_params,)
            The parameters; not to be written to.
        value : float
            Objective at `theta`.
        gradient : ndarray of shape (n_params,)
            Its gradient.
        direction : Direction
            The solution of the linear system.
        state : ControlState
            State before the step.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `take`")

    def failed(self, state: ControlState) -> ControlState:
        """Return the state after a solve that gave no usable direction."""
        damping = max(state.damping * state.growth, MIN_DAMPING_AFTER_FAILURE)
        radius = None if state.radius is None else max(state.radius / 4, MIN_RADIUS)
        return ControlState(min(damping, MAX_DAMPING), 2 * state.growth, radius)

    def is_stuck(self, state: ControlState) -> bool:
        """Return whether the damping cannot usefully rise any more."""
        return state.damping >= MAX_DAMPING


SETTINGS = {
    "damping": (lambda v: is_real(v) and v >= 0, "be a finite number >= 0"),
    "learning_rate": (lambda v: is_real(v) and v > 0, "be a finite number > 0"),
    "clip": (lambda v: is_real(v) and v > 0 or v == math.inf, "be a number > 0"),
    "relative": (is_bool, "be True or False"),
    "shrink": (lambda v: is_real(v) and 0 < v < 1, "be a number in (0, 1)"),
    "max_trials": (lambda v: is_int(v) and v >= 1, "be an int >= 1"),
    "radius": (lambda v: is_real(v) and v > 0, "be a finite number > 0"),
    "accept": (lambda v: is_real(v) and 0 <= v < 1, "be a number in [0, 1)"),
    "smallest": (lambda v: is_real(v) and v >= 0, "be a finite number >= 0"),
}
"""Settings of the controls by name: whether a value will do, and what it must be."""


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


def check_trial(trial, theta):
    """Raise ValueError if a step control has returned no `Trial`, or has accepted parameters that are not finite."""
    if not isinstance(trial, Trial):
        raise must("step_control", "return a qnewton_sk.Trial from `take`", trial)
    if trial.accepted and not (
        math.isfinite(trial.value) and np.shape(trial.theta) == theta.shape and np.isfinite(trial.theta).all()
    ):
        expected = f"accept finite parameters of shape {theta.shape} at a finite objective alone"
        raise must("step_control", expected, f"an accepted trial of value {trial.value}")


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
