"""What the loop carries from step to step, and how a run ends: frozen records."""

import math
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qnewton_sk.systems import SolveStatus

from .quasi_newton import CurvaturePairs, InSingle
from .records import changed
from .step_control import ControlState

FIRST_FORECAST = 10.0
"""Products expected of the first iterative solve: early steps end at the radius after a few."""

NORM_AGE = 10
"""Steps after which the norm of the curvature is measured again; it changes slowly along a fit."""

FORGETTING = 0.95
"""Factor on the forecast of an iterative solver after each step taken by a direct one. If the direct solver was
cheaper by a factor of two, the iterative one gets its next try after some 14 steps."""

MIN_GAIN = 0.005
"""Decrease of log(loss) in a step by an iterative solver below which its next solve is priced higher."""

PRICE_GROWTH, MAX_PRICE = 1.25, 100.0
"""Factor on that price from step to step, and its maximum. Truncated steps stall where a direction of negative
curvature is flat (hundreds of them on parity-8); an exact step leaves at once, and is then the cheaper one."""


@dataclass(frozen=True)
class Point:
    """Parameters, the objective and its gradient there."""

    theta: np.ndarray
    value: float
    gradient: np.ndarray

    @cached_property
    def norm(self):
        """Euclidean norm of the gradient; inf if its square overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            return math.sqrt(self.gradient.dot(self.gradient))

    @property
    def max_gradient(self):
        """Largest absolute entry of the gradient."""
        return float(np.abs(self.gradient).max(initial=0.0))

    @property
    def is_finite(self):
        """Whether objective and gradient are finite; the norm may overflow although no entry does."""
        return math.isfinite(self.value) and (
            math.isfinite(self.norm) or bool(np.isfinite(self.gradient).all())
        )

    def has_gradient_below(self, tol):
        """Whether no entry of the gradient exceeds `tol`; the norm settles most cases without looking at them."""
        return self.norm <= tol * math.sqrt(self.gradient.size) and self.max_gradient <= tol


@dataclass(frozen=True)
class Ending:
    """Why a run ends, whether it has converged, and what a user is told if it has not."""

    reason: str | None
    converged: bool = False
    message: str = ""


CONVERGED = Ending("converged", True)
NO_ENDING = Ending(None)


def ending(state, reason, status, text=""):
    """Return the `Ending` of a run that has not converged, with the advice of a solve status or a text."""
    advice = text or status.advice
    return Ending(reason, False, f"step {state.step}: {reason.replace('_', ' ')} ({status}). {advice}")


@dataclass(frozen=True)
class BlockMemory:
    """What one step leaves for the next one to predict with, for one block.

    `norm` is the spectral norm of its matrix as last seen, `age` steps ago; `products` is the forecast of an
    iterative solve.
    """

    norm: float | None = None
    age: int = NORM_AGE
    products: float = FIRST_FORECAST

    @property
    def norm_hint(self):
        """The norm, or None if it has to be measured again."""
        return self.norm if self.age < NORM_AGE else None

    def after(self, solution, decision, facts):
        """Return the memory after a solve; a solve cut short by its limit would have taken more than twice that."""
        return changed(self, products=self._forecast(solution, decision), **self._norm(solution, facts))

    def _norm(self, solution, facts):
        if solution.norm is not None:
            return {"norm": solution.norm, "age": 0}
        age = self.age + 1
        if facts.norm is None:
            return {}
        return {"norm": max(facts.norm - facts.shift, 0.0), "age": 0 if age > NORM_AGE else age}

    def _forecast(self, solution, decision):
        if solution.products is None:
            return self.products * FORGETTING
        if solution.status is SolveStatus.MAX_ITERATIONS:
            return 2.0 * (decision.max_products or solution.products)
        return max(1.0, float(solution.products))


@dataclass(frozen=True)
class SolveMemory:
    """The memory of all blocks, and the factor by which iterative solves are priced above their forecast."""

    blocks: tuple[BlockMemory, ...] = ()
    price: float = 1.0

    def block(self, index):
        """Return the memory of one block."""
        return self.blocks[index] if index < len(self.blocks) else BlockMemory()

    def forecast(self, index):
        """Products that an iterative solve is expected to take, raised if the last ones gained nothing."""
        return self.block(index).products * self.price

    def after(self, solves):
        """Return the memory after the solves of a step, one per block."""
        blocks = (
            self.block(k).after(s.solution, s.decision, s.facts) if s.is_usable else self.block(k)
            for k, s in enumerate(solves)
        )
        return changed(self, blocks=tuple(blocks))

    def judged(self, solves, gain):
        """Return the memory after a step that lowered log(loss) by `gain`."""
        if all(s.solution.products is None for s in solves):
            return self
        factor = PRICE_GROWTH if gain < MIN_GAIN else 1 / PRICE_GROWTH
        return changed(self, price=min(max(self.price * factor, 1.0), MAX_PRICE))


@dataclass(frozen=True)
class LoopState:
    """Where a run stands: everything that the next step depends on.

    Parameters
    ----------
    theta : ndarray of shape (n_params,)
        The parameters.
    control : ControlState
        Damping and radius.
    policy : object
        State of the policy that says which kind of step comes next.
    memory : SolveMemory
        Forecasts for the linear solves.
    rate : float
        Step length along the gradient that is tried first.
    step : int
        Number of steps taken.
    gradients : float
        Gradients computed so far; an objective without its gradient counts as half of one, and so does a gradient in
        single precision.
    scale : tuple of float
        Norm of the gradient and absolute objective at the start, None before they are known.
    newton_steps : int
        Number of steps that solved a linear system by a factorisation.
    products : int
        Products with the curvature that the iterative solves of all other Newton steps have taken.
    saddle_steps : int
        Number of steps in a row that began at a small gradient and an indefinite matrix.
    is_closing : bool
        Whether the run is about to end, and Newton steps only verify that it may.
    point : Point or None
        Objective and gradient at `theta`; None until they are evaluated.
    blocks : tuple of Block or None
        Curvature at the point (a workspace: lazy matrices with what has been computed of them).
    indefinite : bool
        Whether a solve at this point has found the curvature to be indefinite.
    pairs : CurvaturePairs or None
        Quasi-Newton pairs (a workspace that accepted steps write to).
    gradient_seconds, hessian_seconds : float
        Measured time that no record holds yet.
    single : bool or None
        Whether the objective at the point is that of single precision; None until a quasi-Newton step decides.
    """

    theta: np.ndarray
    control: ControlState
    policy: Any = None
    memory: SolveMemory = SolveMemory()
    rate: float = 0.1
    step: int = 0
    gradients: float = 0.0
    scale: tuple[float, float] | None = None
    newton_steps: int = 0
    products: int = 0
    saddle_steps: int = 0
    is_closing: bool = False
    point: Point | None = None
    blocks: tuple | None = None
    indefinite: bool = False
    pairs: CurvaturePairs | None = None
    gradient_seconds: float = 0.0
    hessian_seconds: float = 0.0
    single: bool | None = None

    def evaluated(self, objective):
        """Return the state with objective and gradient at `theta`."""
        if self.point is not None:
            return self
        start = time.perf_counter()
        point = Point(self.theta, *self.in_precision(objective).value_and_grad(self.theta))
        seconds = self.gradient_seconds + time.perf_counter() - start
        scale = (point.norm, abs(point.value)) if self.scale is None else self.scale
        gradients = self.gradients + self.gradient_cost
        return changed(self, point=point, gradient_seconds=seconds, gradients=gradients, scale=scale)

    @property
    def gradient_cost(self):
        """What one gradient in the precision of the state counts: half of one in that of the data if it is single."""
        return 0.5 if self.single else 1.0

    def in_precision(self, objective):
        """Return the objective in the precision of the state."""
        return InSingle(objective) if self.single else objective

    def in_double(self, objective):
        """Return the state with its point evaluated in the precision of the data."""
        return changed(self, point=None, single=False).evaluated(objective) if self.single else self

    def moved(self, objective, theta, value, gradient=None, **changes):
        """Return the state at new parameters whose objective, and maybe gradient, is known, with other changes."""
        start = time.perf_counter()
        seconds, gradients = 0.0, self.gradients
        if gradient is None:
            value, gradient = objective.value_and_grad(theta)
            seconds, gradients = time.perf_counter() - start, gradients + 1.0
        if self.pairs is not None:
            self.pairs.add(theta - self.theta, gradient - self.point.gradient)
        changes = {"gradients": gradients, **changes}
        here = dict(theta=theta, point=Point(theta, value, gradient), blocks=None, indefinite=False)
        return changed(self, **here, gradient_seconds=seconds, hessian_seconds=0.0, **changes)

    def billed(self):
        """Return the state with no measured time left, since a record holds it: a retry pays neither again."""
        return changed(self, gradient_seconds=0.0, hessian_seconds=0.0)

    def scaled_down(self, exponent):
        """Return the state of a run that starts at the parameters divided by two to the `exponent`."""
        theta = np.ldexp(self.theta, -exponent)
        return changed(self, theta=theta, point=None, scale=None, policy=None, single=None)

    def without_point(self):
        """Return the state for another objective, such as the next mini-batch; pairs of two objectives do not mix.

        Single precision is not tried again: on every batch, that would cost more than it could save.
        """
        return changed(self, point=None, blocks=None, indefinite=False, pairs=None, single=False)
