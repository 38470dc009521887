"""How a linear solve ended, with what a user can do about it."""

from enum import Enum


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
    def advice(self) -> str:
        """One sentence with the remedy."""
        return _ADVICE[self]

    @property
    def usable(self) -> bool:
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
