"""The base class of curvatures, which is also the policy that always chooses the same one."""

from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from qnewton_sk.systems import Block, must


class Curvature(BaseEstimator):
    """A symmetric matrix, or one per block of parameters, that stands for the second derivatives of an objective.

    A subclass defines ``blocks(objective, theta) -> [Block]``. The other methods say which kind of step comes next, and
    choose this curvature for all of them; `AutoCurvature` overrides them.

    Examples
    --------
    >>> from qnewton_sk import Hessian
    >>> always = Hessian()
    >>> always.next_curvature(always.initial(None)) is always
    True
    """

    def check(self) -> None:
        """Raise ValueError if a setting is out of range; called once before a fit begins."""
        return None

    def blocks(self, objective: Any, theta: NDArray[Any]) -> list[Block]:
        """Return the blocks at `theta`, lazy: neither products nor entries are computed here.

        Parameters
        ----------
        objective : BaseObjective
            The data and the net.
        theta : ndarray of shape (n_params,)
            The parameters; not to be kept without a copy.

        Returns
        -------
        list of Block
        """
        raise NotImplementedError(f"{type(self).__name__} must define `blocks`")

    def initial(self, objective: Any, batches: bool = False) -> Any:
        """Return the state of the policy before the first step."""
        return ()

    def next_curvature(self, state: Any) -> "Curvature | None":
        """Return the curvature of the next step, or None if it is a first-order step."""
        return self

    def after(self, state: Any, before: float, value: float, gradients: float) -> Any:
        """Return the state after a step that changed the objective from `before` to `value`."""
        return state

    def exhausted(self, state: Any) -> Any:
        """Return the state after first-order steps have become useless."""
        return state


def check_partition(partition: Any) -> None:
    """Raise ValueError if `partition` is neither "full" nor "layer"."""
    if not isinstance(partition, str) or partition not in ("full", "layer"):
        raise must(
            "partition",
            'be "full" (one system for all parameters) or "layer" (one system per layer)',
            partition,
        )


class WrappedCurvature(Curvature):
    """A user's object with a method `blocks`, as a curvature.

    Parameters
    ----------
    curvature : object
        ``blocks(objective, theta) -> [Block]``.
    """

    def __init__(self, curvature: Any):
        self.curvature = curvature

    def blocks(self, objective: Any, theta: NDArray[Any]) -> list[Block]:
        """Return the blocks of the object."""
        return self.curvature.blocks(objective, theta)
