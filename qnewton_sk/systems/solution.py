"""What a linear solve returns, and the helpers that build it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arrays import euclidean_norm
from .linear_system import LinearSystem
from .status import SolveStatus


@dataclass(frozen=True)
class Solution:
    """The answer of a solver to one system A x = rhs.

    Parameters
    ----------
    x : ndarray of shape (n,)
        The solution; zero if there is none.
    status : SolveStatus
        How the solve ended.
    relative_residual : float
        ||A x - rhs|| / ||rhs||. If `shift` is set, A stands for the matrix with that shift in place of its own.
    image : ndarray of shape (n,), default=None
        A x with the shift of the system, or None if it is not known.
    shift : float, default=None
        Multiple of the identity to which x belongs, if the solver chose it itself (steps bounded by a radius);
        None if it is that of the system.
    products : int, default=None
        Products of matrix and vector that an iterative solver took in all; None for a direct solver.
    norm : float, default=None
        Estimate of the spectral norm of the matrix without its shift, if the solver met one on its way.
    cut_at_radius : bool, default=False
        Whether x was cut at, or carried to, the radius: it then solves no system, in whatever precision.
    info : mapping of str to object
        Details for people to read; nothing in the package acts on them.
    """

    x: np.ndarray
    status: SolveStatus
    relative_residual: float
    image: np.ndarray | None = None
    shift: float | None = None
    products: int | None = None
    norm: float | None = None
    cut_at_radius: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)


def relative_size(residual: np.ndarray, rhs: np.ndarray) -> float:
    """Return ||residual|| / ||rhs||; 0 if the right-hand side is zero."""
    size = euclidean_norm(rhs)
    return euclidean_norm(residual) / size if size else 0.0


def solution_of(
    system: LinearSystem,
    x: np.ndarray,
    status: SolveStatus = SolveStatus.SUCCESS,
    *,
    image: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    shift: float | None = None,
    products: int | None = None,
    norm: float | None = None,
    cut_at_radius: bool = False,
    **info: Any,
) -> Solution:
    """Return the `Solution` for x with its residual measured.

    A solution that is not finite becomes a failure with the status NON_FINITE. A success whose residual is too
    large becomes INACCURATE, unless the solver chose the shift itself.

    Parameters
    ----------
    system : LinearSystem
        The system that was solved.
    x : ndarray of shape (n,)
        What the solver found.
    status : SolveStatus, default=SolveStatus.SUCCESS
        How the solver ended.
    image : ndarray of shape (n,), default=None
        A x with the shift of the system, if it is known; by default one product computes it.
    residual : ndarray of shape (n,), default=None
        rhs - A x up to its sign, with the shift to which x belongs; by default it follows from the image.
    shift, products, norm, cut_at_radius
        Fields of the `Solution`.
    **info
        Details for people to read.

    Returns
    -------
    Solution

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import LinearSystem, SystemFacts, SystemMatrix, solution_of
    >>> matrix = SystemMatrix.from_entries(np.diag([2.0, 4.0]))
    >>> system = LinearSystem(matrix, np.array([2.0, 4.0]), 1e-6, SystemFacts(n=2))
    >>> solution_of(system, np.ones(2)).status.value, solution_of(system, np.zeros(2)).status.value
    ('success', 'inaccurate')
    """
    largest = float(np.abs(x).max())
    if not math.isfinite(largest):
        return failure(system, SolveStatus.NON_FINITE, products=products, **info)
    underflown = largest == 0 and bool(system.rhs.any())
    if underflown:  # whatever the solver has computed on its way, the solution that it returns is zero
        image, residual = np.zeros_like(x), -system.rhs
    with np.errstate(over="ignore", invalid="ignore"):  # the status tells
        image = system.matrix.product(x) if image is None else image
        if residual is None:
            own_shift = 0.0 if shift is None else shift - system.matrix.shift
            residual = image - system.rhs + own_shift * x if own_shift else image - system.rhs
        relative = relative_size(residual, system.rhs)
    if not math.isfinite(relative):
        return failure(system, SolveStatus.NON_FINITE, products=products, **info)
    # A direct solve is backward stable: its residual is small unless the matrix is singular to working
    # precision, so half the digits of the dtype tell a broken solve from a merely ill-conditioned one.
    # An iterative solve that stops exactly at its tolerance is granted the rounding of this measurement.
    allowed = max(system.tol, math.sqrt(np.finfo(image.dtype).eps)) * (1 + 1e-8)
    if status is SolveStatus.SUCCESS and (underflown or shift is None) and relative > allowed:
        status = SolveStatus.INACCURATE
    return Solution(x, status, relative, image, shift, products, norm, cut_at_radius, info)


def failure(
    system: LinearSystem, status: SolveStatus, *, products: int | None = None, **info: Any
) -> Solution:
    """Return the `Solution` of a failed solve, with its status; x is zero.

    Parameters
    ----------
    system : LinearSystem
        The system that was not solved.
    status : SolveStatus
        The reason.
    products : int, default=None
        Products that an iterative solver took before it failed.
    **info
        Details for people to read.

    Returns
    -------
    Solution
    """
    zero = np.zeros_like(system.rhs)
    relative = math.inf if system.rhs.any() else 0.0
    return Solution(zero, status, relative, zero, products=products, info=info)
