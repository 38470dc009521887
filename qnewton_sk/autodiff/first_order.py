"""A step control that combines first-order steps of some parameters with Newton steps of the others."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.optimize import ControlState, Direction, StepControl, Trial
from qnewton_sk.systems import SystemMatrix

Array = NDArray[Any]

MAX_HALVINGS = 40
"""Maximum number of times that first-order steps are halved if the Newton steps beside them are zero. A factor of
2^-40 corrects every step that is too long by less than 1e12."""


class WithFirstOrder(StepControl):
    """A step control that adds -g / (1 / rate + damping) to the direction of the parameters without a system.

    This is the damped Newton step of a model whose Hessian is the identity over `rate`, so that a rejected step
    shortens it like those of the other parameters. Its length is limited to the radius, if there is one. If the
    control does not require a decrease (`is_monotone` is False), -rate g is added.

    Parameters
    ----------
    control : StepControl
        Control of the step along the whole direction.
    part : slice
        The parameters without a system.
    rate : float
        Length of the step per unit of the gradient, without damping.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import Direction, FixedStep
    >>> from qnewton_sk.autodiff import WithFirstOrder
    >>> control = WithFirstOrder(FixedStep(damping=0.0), slice(1, 2), rate=0.5)
    >>> whole = control.completed(np.array([1.0, 4.0]), Direction(np.array([-1.0, 0.0]), 0.5), control.initial())
    >>> whole.x, whole.predicted
    (array([-1., -2.]), 4.5)
    """

    def __init__(self, control: StepControl, part: slice, rate: float):
        self.control = control
        self.part = part
        self.rate = rate
        self.is_monotone = control.is_monotone

    def initial(self) -> ControlState:
        """Return the state before the first step."""
        return self.control.initial()

    def shift(self, state: ControlState, matrix: SystemMatrix) -> float:
        """Return the multiple of the identity that is added to a matrix."""
        return float(self.control.shift(state, matrix))

    def radius_of(self, state: ControlState) -> float | None:
        """Return the maximum length of a step, or None."""
        return self.control.radius_of(state)

    def failed(self, state: ControlState) -> ControlState:
        """Return the state after a solve that gave no usable direction."""
        return self.control.failed(state)

    def is_stuck(self, state: ControlState) -> bool:
        """Return whether raising the damping further would be useless."""
        return bool(self.control.is_stuck(state))

    def completed(
        self, gradient: Array, direction: Direction, state: ControlState, share: float = 1.0
    ) -> Direction:
        """Return the direction with the first-order steps, scaled by `share`, filled in."""
        g, curvature = gradient[self.part], 1 / self.rate + (state.damping if self.is_monotone else 0.0)
        step, length = -share * g / curvature, math.sqrt(float(g @ g)) * share / curvature
        radius = self.control.radius_of(state)
        if radius is not None and length > radius:
            step *= radius / length
        x = direction.x.copy()
        x[self.part] = step
        predicted = -float(g @ step) - 0.5 / self.rate * float(step @ step)
        return direction._replace(x=x, predicted=direction.predicted + predicted)

    def take(
        self,
        objective: Any,
        theta: Array,
        value: float,
        gradient: Array,
        direction: Direction,
        state: ControlState,
    ) -> Trial:
        """Return the `Trial` of the whole direction.

        If the decrease that the Newton steps predict is within rounding, only the first-order steps can cause a
        rejection. They are then halved here, since the loop would consider the run stalled.
        """
        share = 1.0
        noise = 4 * np.finfo(gradient.dtype).eps * abs(value)
        for _ in range(MAX_HALVINGS):
            whole = self.completed(gradient, direction, state, share)
            trial = self.control.take(objective, theta, value, gradient, whole, state)
            if trial.accepted or not self.is_monotone or direction.predicted > noise:
                return trial
            share /= 2
        return trial
