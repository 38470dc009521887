"""What the price of a quantum solve includes: the settings, their formulas and the two presets."""

from collections.abc import Callable, Mapping
from math import ceil, inf, log
from numbers import Real
from typing import Any

from sklearn.base import BaseEstimator

from .hardware import Presets
from .readout import READOUTS

LOADING: dict[str, Callable[[int, int], float]] = {
    "none": lambda n, d: 0.0,
    "qrom": lambda n, d: max(2.0 * (n * d - 2), 0.0),
    "qrom_dense": lambda n, d: max(2.0 * (n * n - 2), 0.0),
}
"""Toffoli gates that load and unload the matrix by QROM in one query, ``(n, d) -> float``. The count is an
empirical figure of resource estimators; trading ancillas for gates (QROAM) would lower it."""

RHS_LOADING: dict[str, Callable[[int], float]] = {"none": lambda n: 0.0, "qrom": lambda n: 4.0 * n}
"""Toffoli gates that load the right-hand side in one query, ``n -> float``. A query takes two preparations
(arXiv:2305.11352, theorem 1), each of which loads and unloads n rotation angles by QROM."""

NORM_ESTIMATIONS = ("none", "amplitude_estimation")
"""Ways to estimate the norm of the solution."""


class QuantumAssumptions(BaseEstimator):
    """What the price of one quantum solve includes.

    The defaults are the assumptions of the paper: one gate per query and nothing else.

    Parameters
    ----------
    alpha : "sparse" or float, default="sparse"
        Normalisation factor of the block encoding: "sparse" is the factor of sparse access, d max|A_ij| /
        ||A||_2; any other value is a number >= 1.
    loading : {"none", "qrom", "qrom_dense"}, default="none"
        What every query loads of the matrix: nothing, its N d nonzeros, or all N^2 entries (see `LOADING`).
    rhs_loading : {"none", "qrom"}, default="none"
        How every query loads the right-hand side (see `RHS_LOADING`).
    readout : {"none", "sampling", "proven", "coherent", "swap_test"}, default="none"
        How the solution is read out, which sets the number of copies (see `READOUTS`).
    readout_tol : float, default=None
        l2 error of the readout of the normalised solution, in (0, 1). None means the error of the solve.
    norm : {"none", "amplitude_estimation"}, default="none"
        How the norm of the solution is estimated, to the same error as the readout.
    refinement_tol : float, default=None
        Error of one solve, in (0, 1), if several solves are combined by iterative refinement:
        ceil(ln tol / ln refinement_tol) of them. None means one solve to the full accuracy.

    See Also
    --------
    QuantumCost : Accepts these assumptions, or the presets "paper" and "end_to_end" by name.

    References
    ----------
    "paper": arXiv:2405.00252, section IV-C. The source of every other value stands beside its formula.

    Examples
    --------
    >>> from qnewton_sk import QuantumAssumptions, Scheduler
    >>> scheduler = Scheduler(assumptions=QuantumAssumptions(loading="qrom"))
    >>> scheduler.set_params(assumptions__readout="coherent").assumptions
    QuantumAssumptions(loading='qrom', readout='coherent')
    """

    def __init__(
        self,
        *,
        alpha: str | float = "sparse",
        loading: str = "none",
        rhs_loading: str = "none",
        readout: str = "none",
        readout_tol: float | None = None,
        norm: str = "none",
        refinement_tol: float | None = None,
    ) -> None:
        self.alpha = alpha
        self.loading = loading
        self.rhs_loading = rhs_loading
        self.readout = readout
        self.readout_tol = readout_tol
        self.norm = norm
        self.refinement_tol = refinement_tol

    def check(self) -> None:
        """Raise ValueError if a setting is unknown or out of range."""
        for name, allowed in _ALLOWED.items():
            choice = getattr(self, name)
            if not isinstance(choice, str) or choice not in allowed:
                raise ValueError(f"`assumptions.{name}` must be one of {sorted(allowed)}; got {choice!r}")
        for name in ("readout_tol", "refinement_tol"):
            value: float | None = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and 0 < value < 1):
                raise ValueError(
                    f"`assumptions.{name}` must be None or a number in (0, 1), such as 1e-2; got {value!r}"
                )
        if not (isinstance(self.alpha, Real) and 1 <= self.alpha < inf or self.alpha == "sparse"):
            raise ValueError(
                f"`assumptions.alpha` must be 'sparse' or a finite number >= 1; got {self.alpha!r}"
            )


_ALLOWED: dict[str, Any] = {
    "loading": LOADING,
    "rhs_loading": RHS_LOADING,
    "readout": READOUTS,
    "norm": NORM_ESTIMATIONS,
}

ASSUMPTIONS: Presets[QuantumAssumptions] = Presets(
    {
        "paper": QuantumAssumptions(),
        "end_to_end": QuantumAssumptions(
            loading="qrom", rhs_loading="qrom", readout="sampling", norm="amplitude_estimation"
        ),
    }
)
"""Presets by name. "paper" charges one gate per query (arXiv:2405.00252, section IV-C); "end_to_end" also charges the
loading of the data, the readout of the solution and the estimation of its norm."""


def resolve_assumptions(assumptions: str | Mapping[str, Any] | QuantumAssumptions) -> QuantumAssumptions:
    """Return checked `QuantumAssumptions` from a preset's name, a dict or the part itself.

    Parameters
    ----------
    assumptions : {"paper", "end_to_end"}, mapping of str to object or QuantumAssumptions
        A mapping holds settings of `QuantumAssumptions` that replace those of the preset under its key
        "base" ("paper" by default).

    Raises
    ------
    ValueError
        If a name or a value is unknown.

    Examples
    --------
    >>> from qnewton_sk.quantum.assumptions import resolve_assumptions
    >>> resolve_assumptions({"base": "end_to_end", "norm": "none"})
    QuantumAssumptions(loading='qrom', readout='sampling', rhs_loading='qrom')
    """
    if isinstance(assumptions, QuantumAssumptions):
        resolved = assumptions
    elif isinstance(assumptions, Mapping):
        resolved = _from_mapping(assumptions)
    else:
        return _preset(assumptions)  # every step asks for it, and presets need no check
    resolved.check()
    return resolved


def _preset(name: object) -> QuantumAssumptions:
    preset = ASSUMPTIONS.get(name) if isinstance(name, str) else None
    if preset is None:
        raise ValueError(
            f"`assumptions` must be a QuantumAssumptions, a dict of its settings or one of "
            f"{sorted(ASSUMPTIONS)}; got {name!r}"
        )
    return preset


def _from_mapping(assumptions: Mapping[str, Any]) -> QuantumAssumptions:
    base = _preset(assumptions.get("base", "paper"))
    settings = {name: value for name, value in assumptions.items() if name != "base"}
    known = base.get_params()
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ValueError(f"`assumptions` must have keys among {sorted(['base', *known])}; got {unknown}")
    return base.set_params(**settings)


def refinement_rounds(tol: float, solve_tol: float) -> int:
    """Return the number of solves of error `solve_tol` that iterative refinement takes to reach `tol`."""
    return 1 if solve_tol <= tol else ceil(round(log(tol) / log(solve_tol), 9))
