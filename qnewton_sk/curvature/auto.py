"""The policy of "auto": it chooses the kind of the next step by the progress that each kind has made for its cost."""

import math
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from qnewton_sk.machine import NUMBER_FLOPS
from qnewton_sk.nets import BaseObjective, Network
from qnewton_sk.systems import Block

from .assembly import assembly_flops
from .base import Curvature, check_partition
from .matrices import GaussNewton, Hessian

Array = NDArray[Any]

# A kind of step is judged by the decrease of log(loss) per cost, which is counted in gradients. The thresholds were
# chosen on the development sets of benchmarks/time_to_loss.py.

NEWTON_GAIN = 0.05
"""Decrease of log(loss) that is expected of a Newton step on a plateau. Exact trust-region steps take two-spirals and
parity-8 from log(2) to the loss at which L-BFGS ends, a decrease of about 4 in log(loss), in 50 to 100 steps."""

PLATEAU_SHARE = 0.2
"""Share of the first loss above which a stall counts as a plateau. Below it, the fit may be near its end: the penalty
bounds the loss from below, or a saturated net has a few samples left on the wrong side, where Newton steps make no more
progress per cost than gradient steps do (parity-8)."""

STALL_GAIN = 0.0005
"""The same as `NEWTON_GAIN`, for a loss below `PLATEAU_SHARE` of the first."""

MAX_POOR_WINDOWS = 3
"""Number of consecutive windows below `STALL_GAIN` after which Newton steps finish the fit."""

MAX_CHEAP_STEP_COST = 10.0
"""Cost of a Newton step, in gradients, up to which a fit starts with Newton steps: quasi-Newton steps need about as
many gradients before their pairs describe the curvature."""

MIN_WINDOW, MAX_WINDOW = 15.0, 60.0
"""Gradients over which the progress of first-order steps is judged: half the cost of a Newton step within these bounds,
and the maximum for a loss below `PLATEAU_SHARE` of the first. The progress over fewer gradients is erratic. Over more,
first-order steps go further into a plateau, and Newton steps need three times as long to leave it (parity-8)."""

MAX_STEP_COST = 120.0
"""Maximum cost of a Newton step in gradients. Conjugate gradients bound it: three truncated solves of 20 products, each
of which costs two gradients, lower the loss as far as one exact step."""

GRADIENT_OVERHEAD_FLOPS, ASSEMBLY_OVERHEAD_FLOPS = 2.5e6, 1.5e7
"""Operations in the time of the Python code around a gradient and around an assembly, 0.05 and 0.3 ms."""

MIN_GAUSS_NEWTON_GAIN = 0.005
"""Mean decrease of log(loss) per Gauss-Newton step below which the second derivatives that Gauss-Newton omits are taken
to matter, so that the exact Hessian takes over."""

GAUSS_NEWTON_WINDOW = 10
"""Number of Gauss-Newton steps over which the mean decrease is taken."""


@dataclass(frozen=True)
class AutoState:
    """What the policy remembers from step to step.

    Parameters
    ----------
    kind : {"first_order", "gauss_newton", "hessian"}
        The kind of step in use.
    gained : float, default=0.0
        The decrease of log(loss) in the present window.
    spent : float, default=0.0
        What the present window has cost: gradients, or steps of Gauss-Newton.
    poor : int, default=0
        The number of windows in a row with too little progress.
    step_cost : float, default=MAX_STEP_COST
        The cost of a Newton step in gradients.
    first_loss : float, default=None
        The loss at the start; None before the first step.
    """

    kind: str
    gained: float = 0.0
    spent: float = 0.0
    poor: int = 0
    step_cost: float = MAX_STEP_COST
    first_loss: float | None = None


class AutoCurvature(Curvature):
    """Chooses the next step: first-order, Newton with Gauss-Newton, or Newton with the exact Hessian.

    A sum of squares starts with Gauss-Newton, which is cheaper than the Hessian, never indefinite, and exact
    in the limit in which the sum vanishes; it gives way to the Hessian when the loss hardly decreases (the idea of
    Fletcher and Xu 1987, "Hybrid methods for nonlinear least squares").

    Every other loss starts with an early phase of first-order (quasi-Newton) steps, unless a Newton step costs
    no more than ten gradients (arXiv:2405.00252, section IV-B). The phase ends with the first window in which its steps
    lower the loss by less than Newton steps of the same modelled cost would (at a low loss, with the third such window
    in a row). Then the exact Hessian takes over: the plateaus on which first-order steps stall are saddles, where
    the part that Gauss-Newton leaves out decides.

    The scheduler chooses the solver of each Newton step. The cost of a step is counted in gradients and steps,
    and never timed in a fit.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one per layer.

    Examples
    --------
    >>> from qnewton_sk.curvature.auto import AutoCurvature, AutoState
    >>> AutoCurvature().next_curvature(AutoState("gauss_newton"))
    GaussNewton()
    """

    def __init__(self, partition: str = "full"):
        self.partition = partition

    def check(self) -> None:
        """Raise ValueError if `partition` is neither "full" nor "layer"."""
        check_partition(self.partition)

    def initial(self, objective: BaseObjective, batches: bool = False) -> AutoState:
        """Return the state before the first step.

        Mini-batches start with Gauss-Newton whatever the loss: gradients of different batches make no pair for a
        quasi-Newton step, and the Hessian of a few samples is indefinite more often than not.

        Parameters
        ----------
        objective : BaseObjective
            The objective of the first step.
        batches : bool, default=False
            Whether the steps see mini-batches.
        """
        if batches or objective.network.loss.is_sum_of_squares:
            return AutoState("gauss_newton")
        cost = newton_step_cost(objective.network, objective.n_samples)
        return AutoState("hessian" if cost <= MAX_CHEAP_STEP_COST else "first_order", step_cost=cost)

    def next_curvature(self, state: AutoState) -> Curvature | None:
        """Return the curvature of the next step, or None if it is a first-order step."""
        if state.kind == "first_order":
            return None
        return (Hessian if state.kind == "hessian" else GaussNewton)(self.partition)

    def blocks(self, objective: BaseObjective, theta: Array) -> list[Block]:
        """Return the blocks of the exact Hessian, which is what one matrix of this policy means."""
        return Hessian(self.partition).blocks(objective, theta)

    def exhausted(self, state: AutoState) -> AutoState:
        """Return the state after a first-order step has failed: Newton steps finish the fit."""
        return AutoState("hessian")

    def after(self, state: AutoState, before: float, value: float, gradients: float) -> AutoState:
        """Return the state after a step.

        Parameters
        ----------
        state : AutoState
            The state before the step.
        before, value : float
            The loss before and after.
        gradients : float
            Number of gradients that were computed; a loss alone counts as half of one.
        """
        if state.kind == "hessian":
            return state
        gained = state.gained + (math.log(before / value) if before > value > 0 else 0.0)
        if state.kind == "first_order":
            first = before if state.first_loss is None else state.first_loss
            state = AutoState(state.kind, gained, state.spent + gradients, state.poor, state.step_cost, first)
            return _judged(state, value, first)
        state = replace(state, gained=gained, spent=state.spent + 1)
        if state.spent < GAUSS_NEWTON_WINDOW:
            return state
        poor = state.poor + 1 if gained < MIN_GAUSS_NEWTON_GAIN * GAUSS_NEWTON_WINDOW else 0
        # One poor window may be a plateau on the way; the second says that it is not.
        return AutoState("hessian") if poor == 2 else AutoState(state.kind, poor=poor)


def _judged(state: AutoState, value: float, first_loss: float) -> AutoState:
    """Return the state after a first-order step, which is judged when its window is full."""
    is_high = value > PLATEAU_SHARE * first_loss
    window = min(max(state.step_cost / 2, MIN_WINDOW), MAX_WINDOW) if is_high else MAX_WINDOW
    if state.spent < window:
        return state
    gain = NEWTON_GAIN if is_high else STALL_GAIN
    poor = 0 if state.gained >= gain * state.spent / state.step_cost else state.poor + 1
    if poor and is_high or poor == MAX_POOR_WINDOWS:
        return AutoState("hessian")
    return AutoState("first_order", poor=poor, step_cost=state.step_cost, first_loss=first_loss)


def newton_step_cost(network: Network, n_samples: int) -> float:
    """Return the cost of a Newton step with the exact Hessian, in gradients.

    It follows from the operations of the assembly and of an exact trust-region step, about 2.5 Cholesky factorisations
    at half the rate of products; it is `MAX_STEP_COST` if products alone cost less.

    Examples
    --------
    >>> from qnewton_sk.curvature.auto import newton_step_cost
    >>> from qnewton_sk.nets import LogisticCrossEntropy, Network
    >>> small, large = (Network([h, 1], [], LogisticCrossEntropy()) for h in (2, 500))
    >>> newton_step_cost(small, 200) < newton_step_cost(large, 200)
    True
    """
    factorise = 2.5 * 2 * network.n_params**3 / 3
    step = assembly_flops(network, n_samples) + factorise + ASSEMBLY_OVERHEAD_FLOPS
    return min(step / gradient_flops(network, n_samples), MAX_STEP_COST)


def gradient_flops(network: Network, n_samples: int) -> float:
    """Return the floating-point operations of a gradient, the overhead of the call included."""
    numbers = NUMBER_FLOPS * 8 * sum(network.widths[1:])  # activations and their derivatives
    return n_samples * (6.0 * network.n_params + numbers) + GRADIENT_OVERHEAD_FLOPS
