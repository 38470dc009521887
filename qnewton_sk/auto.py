"""The curvature of "auto": Gauss-Newton or the exact Hessian, by the progress that each buys for its cost."""

from dataclasses import dataclass, replace

from sklearn.base import BaseEstimator

from .curvature import GaussNewton, Hessian

SLOW = 0.2
"""Relative fall of the loss in a step below which Gauss-Newton is held to have left out too much: the test of
Fletcher and Xu (1987), "Hybrid methods for nonlinear least squares", equation 1.9, with their constant."""


@dataclass(frozen=True)
class AutoState:
    """Which curvature is in use, and the steps in a row in which it was slow."""

    exact: bool
    slow_steps: int = 0


class AutoCurvature(BaseEstimator):
    """Chooses the curvature of the next step from how the last ones went.

    Where the loss is a sum of squares that can vanish, Gauss-Newton is exact in the limit, cheaper and never
    indefinite: it goes first, and gives way to the Hessian when the loss falls by less than a fifth a step.
    Every other loss has curvature of its own, which Gauss-Newton keeps, but the logistic and softmax losses
    are flat where they are small, so that what it leaves out decides: they get the Hessian from the start.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        As of the curvatures.
    patience : int, default=3
        Slow steps in a row before Gauss-Newton gives way.
    """

    def __init__(self, partition="full", patience=3):
        self.partition = partition
        self.patience = patience

    def initial(self, objective):
        """Return the state before the first step."""
        return AutoState(exact=objective.network.loss.name != "squared_error")

    def blocks(self, objective, theta, state=None):
        """Return the blocks of the curvature that `state` names."""
        exact = (state or self.initial(objective)).exact
        return (Hessian if exact else GaussNewton)(self.partition).blocks(objective, theta)

    def after(self, state, before, value):
        """Return the state after an accepted step from `before` to `value`."""
        if state.exact:
            return state
        slow = state.slow_steps + 1 if before - value < SLOW * before else 0
        return replace(state, slow_steps=slow, exact=slow >= self.patience)
