"""Base class of the step controls: how far to go along a direction, and what damping the next system gets.

A solver turns a damped system into a direction; a step control turns a direction into a step and the next damping.
State goes in and comes out, so that a control holds settings only.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from qnewton_sk.systems import is_bool, is_int, is_real, must

Array = NDArray[Any]

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


def check_trial(trial, theta):
    """Raise ValueError if a step control has returned no `Trial`, or has accepted parameters that are not finite."""
    if not isinstance(trial, Trial):
        raise must("step_control", "return a qnewton_sk.Trial from `take`", trial)
    if trial.accepted and not (
        math.isfinite(trial.value) and np.shape(trial.theta) == theta.shape and np.isfinite(trial.theta).all()
    ):
        expected = f"accept only finite parameters of shape {theta.shape} with a finite objective"
        raise must("step_control", expected, f"an accepted trial of value {trial.value}")
