"""The curvature of "auto": which kind of step comes next, by the progress that each has bought for its cost."""

import math
from dataclasses import dataclass, replace

from qnewton_sk.machine import NUMBER_FLOPS

from .assembly import assembly_flops
from .base import Curvature
from .matrices import GaussNewton, Hessian

NEWTON_GAIN = 0.05
"""Fall of log(loss) that a Newton step brings where first-order steps are stuck: 50 to 100 exact
trust-region steps take two-spirals and parity from log 2 to where L-BFGS ends, some 4 in log(loss)."""

HIGH_UP = 0.2
"""Share of the first loss down to which being stuck means such a plateau. Further down it may be the end, where a
penalised loss creeps whatever the steps, or a few samples left on the wrong side of a saturated net: Newton steps
leave that plateau in no fewer steps than gradients are needed (200 of each on parity-8)."""

CREEPING_GAIN, PATIENCE = 0.0005, 3
"""As `NEWTON_GAIN`, further down, and the poor windows in a row after which Newton steps finish there."""

CHEAP_STEP = 10.0
"""Gradients up to which a Newton step is cheap: quasi-Newton steps need as many to learn anything."""

SHORTEST_WINDOW, LONGEST_WINDOW = 15.0, 60.0
"""Gradients over which the progress of first-order steps is judged: what half a Newton step costs, within these, and
the longest further down. Shorter ones see the noise; longer ones high up go on where the steps have led into a
plateau, out of which Newton steps take three times as long as from where they would have begun (parity-8)."""

DEAREST_STEP = 120.0
"""Gradients that a Newton step costs at most: some 20 products of conjugate gradients, each two gradients, three
times over, in place of a factorisation."""

CALL_FLOPS = 2.5e6, 1.5e7
"""Operations in the time that a gradient and an assembly take whatever their size: 0.05 and 0.3 ms of Python."""

LATE_GAIN = 0.005
"""Mean fall of log(loss) in a Gauss-Newton step below which it is held to leave out too much."""

LATE_WINDOW = 10
"""Steps over which that mean is taken."""


@dataclass(frozen=True)
class AutoState:
    """The kind of step in use, what the present window has gained and spent, and how many were poor in a row.

    `step_cost` is that of a Newton step in gradients, `first_loss` the loss at the start.
    """

    kind: str
    gained: float = 0.0
    spent: float = 0.0
    poor: int = 0
    step_cost: float = DEAREST_STEP
    first_loss: float | None = None


class AutoCurvature(Curvature):
    """Chooses the next step: first-order, Newton with Gauss-Newton, or Newton with the exact Hessian.

    A sum of squares starts with Gauss-Newton, which is cheaper than the Hessian, never indefinite, and exact
    in the limit where the sum vanishes; it gives way to the Hessian where the loss hardly falls (the idea of
    Fletcher and Xu 1987, "Hybrid methods for nonlinear least squares").

    Every other loss starts with the early phase of first-order (quasi-Newton) steps, unless a Newton step costs
    no more than ten gradients (arXiv:2405.00252, section IV-B). The first window in which its steps lower the loss by
    less than Newton steps of the same modelled cost would ends it (further down, the third in a row), and the exact
    Hessian takes over: the plateaus on which first-order steps are stuck are saddles, where what Gauss-Newton leaves
    out decides.

    Which solver takes a Newton step is the scheduler's choice, step by step. What a step
    cost is counted in gradients and steps, never timed in a fit.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        As of the curvatures.

    Examples
    --------
    >>> from qnewton_sk.curvature.auto import AutoCurvature, AutoState
    >>> AutoCurvature().next_curvature(AutoState("gauss_newton"))
    GaussNewton()
    """

    def __init__(self, partition="full"):
        self.partition = partition

    def initial(self, objective, batches=False):
        """Return the state before the first step.

        Mini-batches start with Gauss-Newton whatever the loss: pairs of different batches make no
        quasi-Newton step, and the Hessian of a few samples is indefinite more often than not.
        """
        if batches or objective.network.loss.is_sum_of_squares:
            return AutoState("gauss_newton")
        cost = newton_step_cost(objective.network, objective.n_samples)
        return AutoState("hessian" if cost <= CHEAP_STEP else "first_order", step_cost=cost)

    def next_curvature(self, state):
        """Return the curvature of the next step, None where it is a first-order one."""
        if state.kind == "first_order":
            return None
        return (Hessian if state.kind == "hessian" else GaussNewton)(self.partition)

    def blocks(self, objective, theta):
        """Return the blocks of the first Newton step."""
        state = self.initial(objective)
        part = self.next_curvature(AutoState("hessian") if state.kind == "first_order" else state)
        return part.blocks(objective, theta)

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
        if state.kind == "first_order":
            first = before if state.first_loss is None else state.first_loss
            state = AutoState(state.kind, gained, state.spent + gradients, state.poor, state.step_cost, first)
            return _judged(state, value)
        state = replace(state, gained=gained, spent=state.spent + 1)
        if state.spent < LATE_WINDOW:
            return state
        poor = state.poor + 1 if gained < LATE_GAIN * LATE_WINDOW else 0
        # One poor window may be a plateau on the way; the second says that it is not.
        return AutoState("hessian") if poor == 2 else AutoState(state.kind, poor=poor)


def _judged(state, value):
    """The state after a first-order step, judged where its window is full."""
    high_up = value > HIGH_UP * state.first_loss
    window = min(max(state.step_cost / 2, SHORTEST_WINDOW), LONGEST_WINDOW) if high_up else LONGEST_WINDOW
    if state.spent < window:
        return state
    gain = NEWTON_GAIN if high_up else CREEPING_GAIN
    poor = 0 if state.gained >= gain * state.spent / state.step_cost else state.poor + 1
    if poor and high_up or poor == PATIENCE:
        return AutoState("hessian")
    return AutoState("first_order", poor=poor, step_cost=state.step_cost, first_loss=state.first_loss)


def newton_step_cost(network, n_samples):
    """Return what a Newton step with the exact Hessian costs, in gradients.

    From the operations of the assembly and of an exact trust-region step, some 2.5 Cholesky factorisations at half
    the rate of products; `DEAREST_STEP` where products alone cost less.

    Examples
    --------
    >>> from qnewton_sk.curvature.auto import newton_step_cost
    >>> from qnewton_sk.nets.losses import LogisticCrossEntropy
    >>> from qnewton_sk.nets.network import Network
    >>> small, large = (Network([h, 1], [], LogisticCrossEntropy()) for h in (2, 500))
    >>> newton_step_cost(small, 200) < newton_step_cost(large, 200)
    True
    """
    factorise = 2.5 * 2 * network.n_params**3 / 3
    step = assembly_flops(network, n_samples) + factorise + CALL_FLOPS[1]
    return min(step / gradient_flops(network, n_samples), DEAREST_STEP)


def gradient_flops(network, n_samples):
    """Return the floating-point operations of a gradient, the overhead of the call included."""
    numbers = NUMBER_FLOPS * 8 * sum(network.widths[1:])  # activations and their derivatives
    return n_samples * (6.0 * network.n_params + numbers) + CALL_FLOPS[0]
