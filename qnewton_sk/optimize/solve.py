"""One linear solve of a step: prepare the system, choose a backend, solve, and record what happened."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from qnewton_sk.systems import Block, Solution, SolveStatus, SystemFacts, must

from .step_control import ControlState, Direction, StepControl

MAX_ACCELERATION = 0.75
"""Acceleration relative to the step above which it is left out (Transtrum and Sethna 2012, section 3)."""

INDEFINITE = frozenset({SolveStatus.NOT_POSITIVE_DEFINITE, SolveStatus.NEGATIVE_CURVATURE})
"""Statuses that prove the matrix to be indefinite."""


@dataclass(frozen=True)
class Stages:
    """The stages that a linear system passes through, as one run uses them.

    `prepare` is a callable as `qnewton_sk.conditioning.prepare`; `backends` are those that `scheduler` offers.
    """

    prepare: Callable
    scheduler: Any
    backends: list
    control: StepControl

    @cached_property
    def uses_radius(self):
        """Whether some backend bounds its steps by the radius."""
        return any(backend.solver.bounds_by == "radius" for backend in self.backends)


@dataclass(frozen=True)
class BlockSolve:
    """One block solved: what was known of the system, the decision, the solution and the measured times.

    `correction` is added to the solution; `predicted` is the decrease of the undamped model at the solution.
    """

    facts: SystemFacts
    decision: Any
    solution: Solution | None
    correction: np.ndarray | float = 0.0
    predicted: float = 0.0
    schedule_seconds: float = 0.0
    solve_seconds: float = 0.0
    assembly_seconds: float = 0.0

    @property
    def status(self):
        """How the solve ended; FAILED if no backend took the system."""
        return SolveStatus.FAILED if self.solution is None else self.solution.status

    @property
    def is_usable(self):
        """Whether the solution may serve as a direction."""
        return self.solution is not None and self.solution.status.usable

    @property
    def is_indefinite(self):
        """Whether the solve, or what was measured before it, proves the matrix to be indefinite."""
        return self.facts.positive_definite is False or self.status in INDEFINITE


@dataclass(frozen=True)
class StepSolve:
    """All blocks of a step solved."""

    blocks: tuple[BlockSolve, ...]
    x: np.ndarray

    @cached_property
    def status(self):
        """The last status other than success; that of an unusable block before all others."""
        failed = [s.status for s in self.blocks if not s.is_usable]
        others = [s.status for s in self.blocks if s.status is not SolveStatus.SUCCESS]
        return (failed or others or [SolveStatus.SUCCESS])[-1]

    @property
    def is_usable(self):
        """Whether every block has a usable solution."""
        return all(s.is_usable for s in self.blocks)

    @property
    def is_indefinite(self):
        """Whether the matrix of some block is known to be indefinite with its shift."""
        return any(s.facts.positive_definite is False for s in self.blocks)

    @property
    def products(self):
        """Products that iterative solves have taken; None if some block was factorised."""
        taken = [s.solution.products for s in self.blocks if s.solution is not None]
        return None if None in taken else sum(taken)

    @property
    def proves_indefinite(self):
        """Whether some solve has proved the curvature to be indefinite."""
        return any(s.is_indefinite for s in self.blocks)

    @cached_property
    def direction(self):
        """The `Direction` for the step control."""
        shifts = [s.solution.shift for s in self.blocks if s.solution.shift is not None]
        predicted = sum(s.predicted for s in self.blocks)
        return Direction(self.x, predicted, max(shifts) if shifts else None)

    @property
    def assembly_seconds(self):
        """Measured time that went into entries and factors."""
        return sum(s.assembly_seconds for s in self.blocks)


def checked_blocks(blocks, gradient):
    """Return the blocks of a curvature as a tuple.

    Raises
    ------
    ValueError
        If there is none, or one is no `Block` or has a matrix of another order than its part of the gradient.
    """
    if not isinstance(blocks, Iterable):
        raise must("curvature", "return a non-empty list of qnewton_sk.Block from `blocks`", blocks)
    blocks = tuple(blocks)
    if not blocks or not all(isinstance(block, Block) for block in blocks):
        raise must("curvature", "return a non-empty list of qnewton_sk.Block from `blocks`", blocks)
    for block in blocks:
        order = gradient[block.parameters].size
        if block.matrix.n != order:
            expected = f"return a matrix of order {order} for the parameters {block.parameters}"
            raise must("curvature", expected, f"order {block.matrix.n}")
    return blocks


def solve_step(stages, state, tol, max_products=None):
    """Return the `StepSolve` of all blocks at the point of a `LoopState`.

    Parameters
    ----------
    stages : Stages
        How systems are prepared, chosen for and solved.
    state : LoopState
        With its point and blocks.
    tol : float
        Relative residual asked of the solves.
    max_products : int, default=None
        Limit on the products of an iterative solve, beside the scheduler's own.
    """
    x = np.zeros_like(state.point.gradient)
    radius = stages.control.radius_of(state.control) if stages.uses_radius else None
    if radius is not None:
        radius /= math.sqrt(len(state.blocks))  # all blocks together then stay inside the ball
    solves = []
    for index, block in enumerate(state.blocks):
        hints = dict(
            norm_hint=state.memory.block(index).norm_hint,
            iterations=state.memory.forecast(index),
            radius=radius,
        )
        if max_products is not None:
            hints["iterations"] = min(hints["iterations"], max_products)
        gradient = state.point.gradient[block.parameters]
        solved = solve_block(stages, block, gradient, state.control, tol, hints, max_products)
        if solved.is_usable:
            x[block.parameters] = solved.solution.x + solved.correction
        solves.append(solved)
    return StepSolve(tuple(solves), x)


def solve_block(stages, block, gradient, control_state: ControlState, tol, hints, max_products=None):
    """Return the `BlockSolve` of one block; nothing that is passed in is changed but the caches of its matrix."""
    control, clock = stages.control, _Clock(block.matrix)
    shift = control.shift(control_state, block.matrix)
    system = stages.prepare(block.matrix, -gradient, tol, shift, **hints)
    decision = stages.scheduler.choose(system.facts, tol, stages.backends)
    if max_products is not None and decision.max_products is not None:
        decision = replace(decision, max_products=min(decision.max_products, max_products))
    schedule_seconds, assembled = clock.lap()
    solution, correction = None, 0.0
    if decision.chosen is not None:
        solution = stages.scheduler.solve(system, decision, stages.backends)
        correction = _acceleration(stages, block, system, decision, solution, control_state)
    solve_seconds, assembled_by_solve = clock.lap()
    if control.is_monotone and solution is not None:
        solution = _towards_a_minimum(solution, system.facts)
    predicted = 0.0
    if solution is not None and solution.status.usable:
        predicted = _predicted(system, gradient, solution, shift)
    times = schedule_seconds, solve_seconds, assembled + assembled_by_solve
    return BlockSolve(system.facts, decision, solution, correction, predicted, *times)


class _Clock:
    """Measures stages without the assembly of the matrix that happens in them."""

    def __init__(self, matrix):
        self.matrix = matrix
        self.start, self.assembled = time.perf_counter(), matrix.assembly_seconds

    def lap(self):
        """Return the seconds since the last lap without assembly, and those of the assembly."""
        now, assembled = time.perf_counter(), self.matrix.assembly_seconds
        spent = assembled - self.assembled
        elapsed = now - self.start - spent
        self.start, self.assembled = now, assembled
        return elapsed, spent


def _predicted(system, gradient, solution, shift):
    """Decrease of the undamped model at the solution."""
    x = solution.x
    image = system.matrix.product(x) if solution.image is None else solution.image
    return float(-gradient @ x - 0.5 * (x @ image - shift * (x @ x)))


def _acceleration(stages, block, system, decision, solution, control_state):
    """Half the geodesic acceleration if the factorisation that it needs exists; zero if it is too large.

    The step and half the acceleration are the first terms of a series in the step length, which is of no use if
    the second is not small.
    """
    bounded = block.acceleration is not None and stages.control.radius_of(control_state) is not None
    damped = solution.status is SolveStatus.SUCCESS and solution.shift is None
    if not (bounded and damped and system.matrix.factorised):
        return 0.0
    again = replace(system, rhs=-block.acceleration(solution.x))
    second = stages.scheduler.solve(again, decision, stages.backends)
    small = math.sqrt(second.x @ second.x) <= MAX_ACCELERATION * math.sqrt(solution.x @ solution.x)
    return 0.5 * second.x if small and second.status is SolveStatus.SUCCESS else 0.0


def _towards_a_minimum(solution, facts):
    """The solution, made unusable if it solves a system known to be indefinite: its model has a saddle there.

    A step that the radius bounds is exempt. More damping makes the system definite (Nocedal and Wright 2006,
    section 3.4).
    """
    if facts.positive_definite is not False or solution.shift is not None or not solution.status.usable:
        return solution
    return replace(solution, status=SolveStatus.NOT_POSITIVE_DEFINITE)
