"""The policy of "auto": it chooses the kind of the next step by the progress that each kind has made for its cost."""

import math
from typing import Any, NamedTuple

from numpy.typing import NDArray

from qnewton_sk.machine import NUMBER_FLOPS
from qnewton_sk.nets import BaseObjective, Network
from qnewton_sk.systems import Block

from .assembly import assembly_flops
from .base import Curvature, check_partition
from .low_rank import gram_flops
from .matrices import GaussNewton, Hessian

Array = NDArray[Any]

# A kind of step is judged by the decrease of log(loss) per cost, which is counted in gradients. The thresholds were
# chosen on the development sets of benchmarks/time_to_loss.py and on noisy data that no benchmark shows.

NEWTON_STEPS = 20.0
"""Newton steps that typically finish a fit from where quasi-Newton steps have brought it. Quasi-Newton steps that have
cost as much and make little progress give way, so that a wrong guess about either kind costs about a factor of two
(the ski-rental argument; Karlin, Manasse, Rudolph, Sleator 1988)."""

SQUARES_GAIN, FLOOR_GAIN = 0.5, 0.1
"""Decreases of log(loss) per cost of a Newton step between which quasi-Newton steps on a sum of squares end sooner.
Above, they are as fast as Gauss-Newton steps; below, the loss is near its floor, which noise and penalty set, and
quasi-Newton steps reach the minimum for what a few Newton steps cost."""

SQUARES_WINDOWS = 2
"""Number of consecutive windows between them."""

NEWTON_GAIN = 0.05
"""Decrease of log(loss) that is expected of a Newton step on a plateau. Exact trust-region steps take two-spirals and
parity-8 from log(2) to the loss at which L-BFGS ends, a decrease of about 4 in log(loss), in 50 to 100 steps."""

PLATEAU_SHARE = 0.2
"""Share of the first loss above which a stall counts as a plateau. Below it, the fit may be near its end: the penalty
bounds the loss from below, or a saturated net has a few samples left on the wrong side, where Newton steps make no more
progress per cost than gradient steps do (parity-8)."""

STALL_GAIN = 0.0005
"""The same as `NEWTON_GAIN`, for a loss below `PLATEAU_SHARE` of the first."""

SLOW_GAIN = 0.01
"""The same, once quasi-Newton steps have cost as much as `NEWTON_STEPS`."""

MAX_POOR_WINDOWS = 3
"""Number of consecutive windows below `STALL_GAIN` after which Newton steps finish the fit."""

MAX_CHEAP_STEP_COST = 5.0
"""Cost of a Newton step, in gradients, up to which a fit starts with Newton steps: quasi-Newton steps need about as
many gradients before their pairs describe the curvature."""

MIN_WINDOW, MAX_WINDOW = 15.0, 60.0
"""Gradients over which the progress of first-order steps is judged: for a sum of squares the cost of a Newton step, for
other losses half of it, within these bounds, and the maximum for a loss below `PLATEAU_SHARE` of the first. Over fewer
gradients the progress is erratic."""

MAX_STEP_COST = 120.0
"""Maximum cost of a Newton step in gradients. Conjugate gradients bound it: three truncated solves of 20 products, each
counted as two gradients at most, lower the loss as far as one exact step."""

GRADIENT_OVERHEAD_FLOPS, ASSEMBLY_OVERHEAD_FLOPS = 2.5e6, 1.5e7
"""Operations in the time of the Python code around a gradient and around an assembly, 0.05 and 0.3 ms."""

MIN_GAUSS_NEWTON_GAIN = 0.005
"""Mean decrease of log(loss) per Gauss-Newton step below which the second derivatives that Gauss-Newton omits are taken
to matter, so that the exact Hessian takes over."""

GAUSS_NEWTON_WINDOW = 10
"""Number of Gauss-Newton steps over which the mean decrease is taken."""


class AutoState(NamedTuple):
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
        The number of consecutive windows in which another kind of step promised more.
    step_cost : float, default=MAX_STEP_COST
        The cost of a Newton step in gradients.
    first_loss : float, default=None
        The loss at the start; None before the first step.
    total : float, default=0.0
        Gradients that first-order steps have cost in all.
    next_kind : {"gauss_newton", "hessian"}, default="hessian"
        The kind of step that follows first-order steps.
    floor : float, default=inf
        The loss that a net may come down to if it has at least as many parameters as there are numbers to fit: the
        penalty on weights of size one. It is inf for a smaller net, of which nothing is known.
    """

    kind: str
    gained: float = 0.0
    spent: float = 0.0
    poor: int = 0
    step_cost: float = MAX_STEP_COST
    first_loss: float | None = None
    total: float = 0.0
    next_kind: str = "hessian"
    floor: float = math.inf


class AutoCurvature(Curvature):
    """Chooses the next step: first-order, Newton with Gauss-Newton, or Newton with the exact Hessian.

    A fit starts with an early phase of first-order (quasi-Newton) steps, unless a Newton step costs no more than five
    gradients (arXiv:2405.00252, section IV-B). The phase ends once it has cost as much as twenty Newton steps and no
    longer lowers the loss as fast as they are expected to, and sooner where Newton steps are known to be faster: for a
    sum of squares that is still far above its floor.

    For a sum of squares, Gauss-Newton takes over, which is cheaper than the Hessian, never indefinite, and exact in the
    limit in which the sum vanishes; it gives way to the Hessian when the loss hardly decreases (the idea of
    Fletcher and Xu 1987, "Hybrid methods for nonlinear least squares"). For every other loss it is the exact Hessian:
    the plateaus on which first-order steps stall are saddles, where the part that Gauss-Newton leaves out decides.

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
        quasi-Newton step, and the Hessian of a few samples is indefinite more often than not. Fits whose step
        control is not monotone start with Gauss-Newton too, since they have no line search.

        Parameters
        ----------
        objective : BaseObjective
            The objective of the first step.
        batches : bool, default=False
            Whether quasi-Newton steps are out of the question, as for mini-batches.
        """
        if batches:
            return AutoState("gauss_newton")
        network, n = objective.network, objective.n_samples
        if network.loss.is_sum_of_squares:
            start = start_of("gauss_newton", gauss_newton_step_cost(network, n))
        else:
            start = start_of("hessian", newton_step_cost(network, n))
        # merged samples count as often as they occurred: there may be others with the same input and another class
        numbers = max(n, objective.total_weight) * network.widths[-1]
        floor = 0.5 * float(objective.penalties.sum()) if numbers <= network.n_params else math.inf
        return start._replace(floor=floor)

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
            spent, total = state.spent + gradients, state.total + gradients
            state = state._replace(gained=gained, spent=spent, total=total, first_loss=first)
            return _judged(state, value, PLATEAU_SHARE * first)
        state = state._replace(gained=gained, spent=state.spent + 1)
        if state.spent < GAUSS_NEWTON_WINDOW:
            return state
        poor = state.poor + 1 if gained < MIN_GAUSS_NEWTON_GAIN * GAUSS_NEWTON_WINDOW else 0
        # One poor window may be a plateau on the way; the second says that it is not.
        return AutoState("hessian") if poor == 2 else AutoState(state.kind, poor=poor)


def start_of(kind: str, cost: float) -> AutoState:
    """Return the state before the first step of a fit in which Newton steps of a kind cost so many gradients."""
    if cost <= MAX_CHEAP_STEP_COST:
        return AutoState(kind)
    return AutoState("first_order", step_cost=cost, next_kind=kind)


def _judged(state: AutoState, value: float, low: float) -> AutoState:
    """Return the state after a first-order step, which is judged when its window is full."""
    is_squares, is_high, is_bottomless = state.next_kind == "gauss_newton", value > low, state.floor < low
    if state.spent < _window(state.step_cost, is_squares, is_high):
        return state
    gain = state.gained * state.step_cost / state.spent
    is_due = state.total >= NEWTON_STEPS * state.step_cost
    if is_squares:
        is_poor = FLOOR_GAIN <= gain < SQUARES_GAIN
        is_over = is_bottomless or (is_due and gain < SQUARES_GAIN)
        is_over = is_over or (is_poor and state.poor + 1 >= SQUARES_WINDOWS)
    elif is_high:
        is_poor = gain < NEWTON_GAIN
        is_over = is_poor and (is_due or is_bottomless)
    else:
        is_poor = gain < STALL_GAIN
        is_over = (is_due and gain < SLOW_GAIN) or (is_poor and state.poor + 1 >= MAX_POOR_WINDOWS)
    if is_over:
        return AutoState(state.next_kind)
    return state._replace(gained=0.0, spent=0.0, poor=state.poor + 1 if is_poor else 0)


def _window(step_cost: float, is_squares: bool, is_high: bool) -> float:
    """Return the number of gradients over which the progress of first-order steps is judged."""
    if not is_squares and not is_high:
        return MAX_WINDOW
    return min(max(step_cost if is_squares else step_cost / 2, MIN_WINDOW), MAX_WINDOW)


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
    return _step_cost(network, n_samples, assembly_flops(network, n_samples), factorisations=2.5)


def gauss_newton_step_cost(network: Network, n_samples: int) -> float:
    """Return the cost of a Gauss-Newton step on a sum of squares, in gradients: an assembly and a factorisation.

    Examples
    --------
    >>> from qnewton_sk.curvature.auto import gauss_newton_step_cost, newton_step_cost
    >>> from qnewton_sk.nets import Network, resolve_loss
    >>> network = Network([10, 16, 16, 1], ["tanh", "tanh"], resolve_loss("squared_error"))
    >>> gauss_newton_step_cost(network, 500) < newton_step_cost(network, 500)
    True
    """
    by_blocks = assembly_flops(network, n_samples, exact=False)
    assembly = min(by_blocks, gram_flops(network, n_samples * network.widths[-1]))
    return _step_cost(network, n_samples, assembly, factorisations=1.0)


def _step_cost(network: Network, n_samples: int, assembly: float, factorisations: float) -> float:
    factorise = factorisations * 2 * network.n_params**3 / 3
    step = assembly + factorise + ASSEMBLY_OVERHEAD_FLOPS
    return min(step / gradient_flops(network, n_samples), MAX_STEP_COST)


def gradient_flops(network: Network, n_samples: int) -> float:
    """Return the floating-point operations of a gradient, the overhead of the call included."""
    numbers = NUMBER_FLOPS * 8 * sum(network.widths[1:])  # activations and their derivatives
    return n_samples * (6.0 * network.n_params + numbers) + GRADIENT_OVERHEAD_FLOPS
