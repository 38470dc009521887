"""What a quantum solve is charged: the switches of `QuantumCost` and their named sets."""

from collections.abc import Mapping
from math import ceil, isfinite, log
from numbers import Real

from .readout import READOUTS

LOADING = {
    "none": lambda n, d: 0.0,
    "qrom": lambda n, d: max(2.0 * (n * d - 2), 0.0),
    "qrom_dense": lambda n, d: max(2.0 * (n * n - 2), 0.0),
}
"""Toffoli gates of one query's data loading, ``(n, d) -> float``: loading and unloading by QROM. An empirical
figure of resource estimators; trades of ancillas for gates (QROAM) would lower it."""

RHS_LOADING = {"none": lambda n: 0.0, "qrom": lambda n: 4.0 * n}
"""Toffoli gates of one query's preparations of the right-hand side: two of them (arXiv:2305.11352, theorem
1), each with n rotation angles loaded and unloaded by QROM."""

NORM = ("none", "amplitude_estimation")

ASSUMPTIONS = {
    "paper": {
        "alpha": "sparse",
        "loading": "none",
        "rhs_loading": "none",
        "readout": "none",
        "readout_tol": None,
        "norm": "none",
        "refinement_tol": None,
    },
    "end_to_end": {
        "alpha": "sparse",
        "loading": "qrom",
        "rhs_loading": "qrom",
        "readout": "sampling",
        "readout_tol": None,
        "norm": "amplitude_estimation",
        "refinement_tol": None,
    },
}
"""Named sets of switches for `QuantumCost`; see there."""


def resolve_assumptions(assumptions):
    """Return every switch of `QuantumCost.assumptions` with its value.

    Raises
    ------
    ValueError
        If a name or a value is unknown.
    """
    if not isinstance(assumptions, Mapping):
        return _named(assumptions)
    switches = dict(_named(assumptions.get("base", "paper")))
    switches.update((name, value) for name, value in assumptions.items() if name != "base")
    _check(switches)
    return switches


def _named(name):
    if not isinstance(name, str) or name not in ASSUMPTIONS:
        raise ValueError(f"`assumptions` must be a dict or one of {sorted(ASSUMPTIONS)}; got {name!r}")
    return ASSUMPTIONS[name]


_ALLOWED = {"loading": LOADING, "rhs_loading": RHS_LOADING, "readout": READOUTS, "norm": NORM}


def _check(switches):
    unknown = set(switches) - set(ASSUMPTIONS["paper"])
    if unknown:
        raise ValueError(
            f"`assumptions` must have keys among {sorted(ASSUMPTIONS['paper'])}; got {sorted(unknown)}"
        )
    for name, allowed in _ALLOWED.items():
        if switches[name] not in allowed:
            raise ValueError(
                f"`assumptions[{name!r}]` must be one of {sorted(allowed)}; got {switches[name]!r}"
            )
    for name in ("readout_tol", "refinement_tol"):
        if switches[name] is not None and not 0 < switches[name] < 1:
            raise ValueError(f"`assumptions[{name!r}]` must be None or in (0, 1); got {switches[name]!r}")
    alpha = switches["alpha"]
    if alpha != "sparse" and not (isinstance(alpha, Real) and isfinite(alpha) and alpha >= 1):
        raise ValueError(f"`assumptions['alpha']` must be 'sparse' or a number >= 1; got {alpha!r}")


def refinement_rounds(tol, solve_tol):
    """Return how many solves of error `solve_tol` iterative refinement takes to reach `tol`."""
    return 1 if solve_tol <= tol else ceil(round(log(tol) / log(solve_tol), 9))
