"""Query counts of quantum linear solvers: one formula per publication, and the function that looks them up."""

from collections.abc import Callable
from dataclasses import dataclass
from math import asin, ceil, e, inf, isfinite, log, log2, pi, sqrt

from scipy.optimize import minimize_scalar


@dataclass(frozen=True)
class QueryModel:
    """One published query count, with what is known about it.

    Calling it gives the expected queries; the arguments are checked by `query_count`, not here.

    Parameters
    ----------
    name : str
        Under which `query_count` knows it.
    formula : callable
        ``formula(kappa, tol, alpha) -> float``, expected queries to the block encoding.
    source : str
        Paper and equation.
    standing : {"proven", "numerical", "asymptotic"}
        Whether the constants are proven, fitted to numerical experiments, or set to one.
    note : str, default=""
        Doubts about the constants, and what the source leaves out.
    tol_max : float, default=1.0
        Largest `tol` that the source allows; larger ones are refused.
    kappa_min : float, default=1.0
        Smallest alpha kappa (kappa for "jennings2023") that the source allows. Smaller ones are raised to
        it: a bound on the condition number stays a bound when it grows.
    kappa_max : float, default=inf
        Largest alpha kappa that the source allows; larger ones are refused.
    """

    name: str
    formula: Callable
    source: str
    standing: str
    note: str = ""
    tol_max: float = 1.0
    kappa_min: float = 1.0
    kappa_max: float = inf

    def __call__(self, kappa, tol, alpha=1.0):
        """Return the expected number of queries."""
        return self.formula(kappa, tol, alpha)

    def rejection_reason(self, kappa, tol, alpha=1.0):
        """Return why this model has no value here, or None."""
        if tol > self.tol_max:
            return (
                f"`tol` must be at most {self.tol_max:g} for model {self.name!r} ({self.source}); got {tol!r}"
            )
        if alpha * kappa > self.kappa_max:
            return (
                f"`kappa` must be at most {self.kappa_max / alpha:g} for model {self.name!r} ({self.source}) "
                f"at alpha={alpha:g}; got {kappa!r}; use another model, such as 'dalzell2024'"
            )
        return None


def jennings2023_single_run(kappa, tol, alpha=1.0):
    """Return Q*, the queries of one run of `jennings2023`, which succeeds with 0.39 - 0.204 tol or more.

    Parameters
    ----------
    kappa : float
        Condition number; raised to sqrt(12), the smallest for which the theorem holds.
    tol : float
        Error of the normalised solution, at most 0.24.
    alpha : float, default=1.0
        Factor of the block encoding.

    Returns
    -------
    float

    References
    ----------
    Jennings, Lostaglio, Pallister, Sornborger, Subasi (2023), arXiv:2305.11352v1, theorem 1.

    Examples
    --------
    >>> from qnewton_sk.quantum.query_counts import jennings2023_single_run
    >>> round(jennings2023_single_run(50.0, 1e-3, 2.0), 6)
    19825.720105
    """
    kappa = max(kappa, SMALLEST_KAPPA_JENNINGS)
    L = log(2 * kappa + 3)
    adiabatic = (
        1741 * alpha * e / 500 * sqrt(kappa**2 + 1) * ((133 / 125 + 4 / (25 * kappa ** (1 / 3))) * pi * L + 1)
    )
    return adiabatic + 351 / 50 * L**2 * (log(451 * L**2 / tol) + 1) + alpha * kappa * log(32 / tol)


SMALLEST_KAPPA_JENNINGS = sqrt(12)
"""Theorem 1 of arXiv:2305.11352v1 holds from here on; smaller condition numbers are raised to it."""


def success_probability(tol):
    """Return the proven success probability 0.39 - 0.204 tol of one run of `jennings2023`.

    0.204 and 0.201 both circulate for the second constant; the larger one gives the smaller probability,
    and the expected queries differ by at most 0.22 %.
    """
    return 0.39 - 0.204 * tol


def _jennings2023(kappa, tol, alpha):
    return jennings2023_single_run(kappa, tol, alpha) / success_probability(tol)


def _jennings2025(kappa, tol, alpha):
    K = alpha * kappa
    return 835.4 * K + ceil(K * log(2 / _sqrt1pm1(tol / 4)) + 2)


def _sqrt1pm1(x):
    """sqrt(1 + x) - 1 without cancellation."""
    return x / (sqrt(1 + x) + 1)


def _dalzell2024(kappa, tol, alpha):
    K = alpha * kappa
    return 56.0 * K + 1.05 * K * log(sqrt(1 - tol**2) / tol) + 2.78 * log(K) ** 3 + 3.17


def _costa2026(kappa, tol, alpha):
    K = max(alpha * kappa, 3.0)
    return K * (6 * log(K) + 6 + 1.07 * log(1 / tol)) + 6 + 3 * log(K)


def _costa2023(constant):
    def count(kappa, tol, alpha):
        K = alpha * kappa
        best = minimize_scalar(
            lambda D: _costa2023_at(D, K, tol, constant), bounds=(1e-3, 1.0), method="bounded"
        )
        return float(best.fun)

    return count


def _costa2023_at(Delta, K, tol, constant):
    """Adiabatic walk up to the overlap error Delta, then a filter, repeated until both succeed."""
    miss = Delta**2 - Delta**4 / 4
    filter_tol = min(tol * sqrt((1 - miss) * (1 - tol**2 / 4)) / ((1 - tol**2 / 2) * sqrt(miss)), 1.0)
    success = (1 - miss * (1 - filter_tol**2)) ** 2
    return K / 2 * log(2 / filter_tol) * (1 / success + 1) + constant * K / (Delta * success)


def _childs2017(kappa, tol, alpha):
    K = alpha * kappa
    power = ceil(K**2 * log2(K / tol))
    terms = ceil(sqrt(power * log2(4 * power / tol)))
    amplitude = min(alpha / (2 * (terms + 1)), 1.0)
    return 8.0 * terms * (2 * (pi / (4 * asin(amplitude)) // 1) + 1)


def _hhl2009(kappa, tol, alpha):
    return alpha * kappa**2 / tol


QUERY_MODELS = {
    model.name: model
    for model in (
        QueryModel(
            "jennings2023",
            _jennings2023,
            "Jennings et al. (2023), arXiv:2305.11352v1, theorem 1",
            "proven",
            "The paper's model. The success constant 0.204 is printed as 0.201 elsewhere (0.22 % at most).",
            tol_max=0.24,
            kappa_min=SMALLEST_KAPPA_JENNINGS,
        ),
        QueryModel(
            "jennings2025",
            _jennings2025,
            "Jennings et al. (2025), arXiv:2305.11352v3, equation 175",
            "proven",
            "Doubtful by 3 %: the constant 835.4 of the equation and the paper's own abstract disagree.",
        ),
        QueryModel(
            "dalzell2024",
            _dalzell2024,
            "Dalzell (2024), arXiv:2406.12086, equation 48",
            "proven",
            "Expected queries, the guess of the norm of the solution included.",
        ),
        QueryModel(
            "costa2023",
            _costa2023(2305.0),
            "Costa, An, Babbush, Berry (2023), arXiv:2312.07690, with the proven constant 2305",
            "proven",
            "Minimised over the error left to the filter.",
        ),
        QueryModel(
            "costa2023_numerical",
            _costa2023(1.84),
            "Costa, An, Babbush, Berry (2023), arXiv:2312.07690, with the observed constant 1.84",
            "numerical",
            "No theorem: 1.84 was observed on random matrices of order up to 16, and is used at any order.",
        ),
        QueryModel(
            "costa2026",
            _costa2026,
            "Costa et al. (2026), arXiv:2604.22185, equation 19",
            "proven",
            kappa_min=3.0,
            kappa_max=1e6,
        ),
        QueryModel(
            "childs2017",
            _childs2017,
            "Childs, Kothari, Somma (2017), arXiv:1511.02306, theorem 4, Chebyshev series",
            "proven",
            "Sparse access, d = alpha. The logarithms are of base 2, where natural ones would do. Amplitude "
            "amplification (Brassard et al. 2002) is counted for the least favourable right-hand side, whose "
            "success amplitude is alpha over the 1-norm 2 (j0 + 1) of the coefficients.",
        ),
        QueryModel(
            "hhl2009",
            _hhl2009,
            "Harrow, Hassidim, Lloyd (2009), arXiv:0811.3171, O(d kappa^2 / eps)",
            "asymptotic",
            "The scaling with its constant set to one; a lower bound in spirit, not a count.",
        ),
    )
}
"""Query models by name; add your own, or give `query_count` a callable."""


def query_model(model):
    """Return the `QueryModel` of a name, or a callable as one.

    Raises
    ------
    ValueError
        If no model has that name; the message lists those that exist.
    """
    if isinstance(model, QueryModel):
        return model
    if callable(model):
        return QueryModel(
            getattr(model, "__name__", type(model).__name__), model, "given by the caller", "numerical"
        )
    if model not in QUERY_MODELS:
        raise ValueError(f"`model` must be one of {sorted(QUERY_MODELS)} or a callable; got {model!r}")
    return QUERY_MODELS[model]


def query_count(kappa, tol, *, alpha=1.0, model="jennings2023"):
    """Return the expected queries to the block encoding for one solution of A x = b.

    Failed runs are included. A is scaled to norm 1 and accessed by a block encoding of factor `alpha`;
    models that their source states for alpha = 1 are evaluated at alpha kappa.

    Parameters
    ----------
    kappa : float
        Condition number of A in the 2-norm, or an upper bound of it; >= 1.
    tol : float
        Allowed l2 error of the normalised solution, in (0, 1).
    alpha : float, default=1.0
        Factor of the block encoding, >= 1; d max|A_ij| / ||A||_2 for sparse access.
    model : str or callable, default="jennings2023"
        A name from `QUERY_MODELS`, or ``model(kappa, tol, alpha) -> float``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an argument is out of the range that the model's source allows, or the model is unknown.

    Examples
    --------
    >>> from qnewton_sk import query_count
    >>> f"{query_count(100.0, 1e-12):.3g}"
    '7.43e+04'
    >>> f"{query_count(100.0, 1e-12, model='dalzell2024'):.3g}"
    '8.78e+03'
    >>> query_count(100.0, 1e-2, model=lambda kappa, tol, alpha: alpha * kappa)
    100.0
    """
    chosen = query_model(model)
    reason = argument_fault(kappa, tol, alpha) or chosen.rejection_reason(kappa, tol, alpha)
    if reason:
        raise ValueError(reason)
    return chosen(kappa, tol, alpha)


def argument_fault(kappa, tol, alpha):
    """Return what is wrong with the arguments of any query count, or None."""
    if not (1 <= kappa and isfinite(kappa)):
        return (
            f"`kappa` must be finite and >= 1 (raise `regularization` for a singular matrix); got {kappa!r}"
        )
    if not 0 < tol < 1:
        return f"`tol` must be in (0, 1); got {tol!r}"
    if not (1 <= alpha and isfinite(alpha)):
        return f"`alpha` must be finite and >= 1; got {alpha!r}"
    return None
