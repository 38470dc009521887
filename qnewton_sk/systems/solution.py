"""How a linear solve ended, and what it returns."""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from .factorisations import is_finite


class SolveStatus(str, Enum):
    """How a linear solve ended; a value, never an exception.

    Attributes
    ----------
    advice : str
        What a user can do about it; empty for a success.
    """

    SUCCESS = "success"
    INACCURATE = "inaccurate"
    SINGULAR = "singular"
    NOT_POSITIVE_DEFINITE = "not_positive_definite"
    NEGATIVE_CURVATURE = "negative_curvature"
    MAX_ITERATIONS = "max_iterations"
    NON_FINITE = "non_finite"
    FAILED = "failed"

    __str__ = str.__str__

    @property
    def advice(self):
        """One sentence with the remedy."""
        return _ADVICE[self]

    @property
    def usable(self):
        """Whether the solution may serve as a direction of descent."""
        return self in _USABLE


_ADVICE = {
    SolveStatus.SUCCESS: "",
    SolveStatus.INACCURATE: "Raise `regularization` or ask for a larger solver tolerance.",
    SolveStatus.SINGULAR: "Raise `regularization`.",
    SolveStatus.NOT_POSITIVE_DEFINITE: "Raise `regularization`, use curvature='gauss_newton' or "
    "step_control='trust_region'.",
    SolveStatus.NEGATIVE_CURVATURE: "Use step_control='trust_region' or curvature='gauss_newton'.",
    SolveStatus.MAX_ITERATIONS: "Raise `regularization`, or use a direct solver.",
    SolveStatus.NON_FINITE: "Scale the inputs (StandardScaler), lower `learning_rate_init` or raise `alpha`.",
    SolveStatus.FAILED: "Use another backend.",
}


_USABLE = frozenset(
    {
        SolveStatus.SUCCESS,
        SolveStatus.INACCURATE,
        SolveStatus.MAX_ITERATIONS,
        SolveStatus.NEGATIVE_CURVATURE,
    }
)


@dataclass(frozen=True)
class Solution:
    """What a solver returns: x of shape (n,), how it ended, ||A x - rhs|| / ||rhs||, and details.

    `image` is A x where the solver knows it (each needs it for the residual), else None.
    """

    x: np.ndarray
    status: SolveStatus
    relative_residual: float
    info: dict[str, Any] = field(default_factory=dict)
    image: np.ndarray | None = None


def finish(system, x, status=SolveStatus.SUCCESS, **info):
    """Return the `Solution` for x with its measured residual; the status falls where the residual says so."""
    if not is_finite(x):
        return failure(system, SolveStatus.NON_FINITE, **info)
    image = system.matrix.product(x)
    size = math.sqrt(system.rhs @ system.rhs)
    residual = image - system.rhs
    relative = math.sqrt(residual @ residual) / size if size else 0.0
    if not math.isfinite(relative):
        return failure(system, SolveStatus.NON_FINITE, **info)
    # A direct solve is backward stable: its residual is small unless the matrix is singular to working
    # precision, so half the digits of the dtype tell a broken solve from a merely ill-conditioned one.
    if status is SolveStatus.SUCCESS and relative > max(system.tol, math.sqrt(np.finfo(image.dtype).eps)):
        status = SolveStatus.INACCURATE
    return Solution(x, status, relative, info, image)


def failure(system, status, **info):
    """Return the `Solution` that says why there is none; x is zero."""
    zero = np.zeros_like(system.rhs)
    return Solution(zero, status, math.inf if system.rhs.any() else 0.0, info, zero)
