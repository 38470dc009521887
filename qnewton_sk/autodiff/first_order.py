"""First-order steps of some parameters beside the Newton steps of the others, as a step control."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.optimize import ControlState, Direction, StepControl, Trial
from qnewton_sk.systems import SystemMatrix

Array = NDArray[Any]

MAX_HALVINGS = 40
"""Number of times that first-order steps are halved when the Newton steps beside them are zero: 2^-40 of a step that
was too long by less than that leaves a fit at the accuracy of single precision."""


class WithFirstOrder(StepControl):
    """A step control that adds -g / (1 / rate + damping) to the direction of the parameters without a system.

    It is the step of a model whose Hessian is the identity over `rate`, so that rejected steps shorten it as they do
    those of the other parameters. It is cut at the radius if there is one. A control whose damping is constant adds
    -rate g.

    Parameters
    ----------
    control : StepControl
        What then says how far to go along the whole direction.
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
        """Return the multiple of the identity to be added to a matrix."""
        return float(self.control.shift(state, matrix))

    def radius_of(self, state: ControlState) -> float | None:
        """Return the length at which a step may be cut, or None."""
        return self.control.radius_of(state)

    def failed(self, state: ControlState) -> ControlState:
        """Return the state after a solve that gave no usable direction."""
        return self.control.failed(state)

    def is_stuck(self, state: ControlState) -> bool:
        """Return whether the damping cannot usefully rise any more."""
        return bool(self.control.is_stuck(state))

    def completed(
        self, gradient: Array, direction: Direction, state: ControlState, share: float = 1.0
    ) -> Direction:
        """Return the direction with the first-order steps in it, of which `share` is taken."""
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

        If the Newton steps predict nothing beyond rounding, a rejection is due to the first-order steps alone: then
        they are halved here, since the loop would take the run for stalled.
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
