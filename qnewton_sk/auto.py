"""The curvature of "auto": which kind of step comes next, by the progress that each has bought for its cost."""

import math
from dataclasses import dataclass, replace

from sklearn.base import BaseEstimator

from .curvature import GaussNewton, Hessian

EARLY_GAIN = 0.005
"""Fall of log(loss) in a window of first-order steps below which the early phase has had its day. Larger values
hand over sooner: on two-spirals, parity, digits, breast cancer and wine, 0.02, 0.1 and 0.3 took longer to
the loss at which L-BFGS ends."""

EARLY_WINDOW = 15
"""Gradients in that window, about what two Newton steps cost."""

LATE_GAIN = 0.02
"""Mean fall of log(loss) in a Gauss-Newton step below which it is held to leave out too much."""

LATE_WINDOW = 10
"""Steps over which that mean is taken."""


@dataclass(frozen=True)
class AutoState:
    """The kind of step in use, what the present window has gained and spent, and how many were poor in a row."""

    kind: str
    gained: float = 0.0
    spent: float = 0.0
    poor: int = 0


class AutoCurvature(BaseEstimator):
    """Chooses the next step: first-order, Newton with Gauss-Newton, or Newton with the exact Hessian.

    A sum of squares starts with Gauss-Newton, which is cheaper than the Hessian, never indefinite, and exact
    in the limit where the sum vanishes; it gives way to the Hessian where the loss hardly falls (the idea of
    Fletcher and Xu 1987, "Hybrid methods for nonlinear least squares").

    Every other loss starts with the early phase of first-order (quasi-Newton) steps, since a gradient costs a
    fifth of a Newton step or less (arXiv:2405.00252, section IV-B). When its steps no longer lower the loss by
    what Newton steps of the same cost would, the exact Hessian takes over: logistic losses are flat where they
    are small, and what Gauss-Newton leaves out decides there.

    Which solver takes a Newton step is the scheduler's choice, step by step. What a step
    cost is counted in gradients and steps, never timed in a fit.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        As of the curvatures.

    Examples
    --------
    >>> from qnewton_sk.auto import AutoCurvature, AutoState
    >>> AutoCurvature().part(AutoState("gauss_newton"))
    GaussNewton()
    """

    def __init__(self, partition="full"):
        self.partition = partition

    def initial(self, objective, batches=False):
        """Return the state before the first step.

        Mini-batches start with Gauss-Newton whatever the loss: pairs of different batches make no
        quasi-Newton step, and the Hessian of a few samples is indefinite more often than not.
        """
        squares = objective.network.loss.name == "squared_error"
        return AutoState("gauss_newton" if batches or squares else "first_order")

    def part(self, state):
        """Return the curvature of the next step, None where it is a first-order one."""
        if state.kind == "first_order":
            return None
        return (Hessian if state.kind == "hessian" else GaussNewton)(self.partition)

    def blocks(self, objective, theta):
        """Return the blocks of the first Newton step."""
        kind = self.initial(objective).kind
        return self.part(AutoState("hessian" if kind == "first_order" else kind)).blocks(objective, theta)

    def exhausted(self, state):
        """Return the state after a first-order step failed: Newton steps finish."""
        return AutoState("hessian")

    def after(self, state, before, value, gradients):
        """Return the state after a step.

        Parameters
        ----------
        state : AutoState
        before, value : float
            The loss before and after.
        gradients : float
            Gradients computed, a loss alone counting as half of one.
        """
        if state.kind == "hessian":
            return state
        gained = state.gained + (math.log(before / value) if before > value > 0 else 0.0)
        early = state.kind == "first_order"
        state = replace(state, gained=gained, spent=state.spent + (gradients if early else 1))
        if state.spent < (EARLY_WINDOW if early else LATE_WINDOW):
            return state
        poor = state.poor + 1 if gained < (EARLY_GAIN if early else LATE_GAIN * LATE_WINDOW) else 0
        # One poor window may be a plateau on the way; the second says that it is not.
        return AutoState("hessian") if poor == 2 else AutoState(state.kind, poor=poor)
