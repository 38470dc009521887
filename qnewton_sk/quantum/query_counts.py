"""Query counts of quantum linear solvers: one formula per publication, and the function that looks them up.

Condition numbers and errors may be of any size that a float holds: a count beyond that range is inf.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import asin, ceil, e, exp, hypot, inf, log, log2, pi, sqrt
from numbers import Real

from scipy.optimize import minimize_scalar

from qnewton_sk.systems import fault_of

Formula = Callable[[float, float, float], float]


@dataclass(frozen=True)
class QueryModel:
    """One published query count, with what is known about it.

    Calling it gives the expected queries; the arguments are checked by `query_count`, not here.

    Parameters
    ----------
    name : str
        Name by which `query_count` finds it.
    formula : callable
        ``formula(kappa, tol, alpha) -> float``, expected queries to the block encoding.
    source : str
        Paper and equation.
    standing : {"proven", "numerical", "asymptotic"}
        Whether the constants are proven, fitted to numerical experiments, or set to one.
    note : str, default=""
        Doubts about the constants, and what the source leaves out.
    tol_max : float, default=1.0
        Maximum `tol` that the source allows; a larger one is rejected.
    kappa_min : float, default=1.0
        Minimum alpha kappa (kappa for "jennings2023") that the source allows; a smaller value is raised to it.
    kappa_max : float, default=inf
        Maximum alpha kappa that the source allows; a larger one is rejected.
    """

    name: str
    formula: Formula
    source: str
    standing: str
    note: str = ""
    tol_max: float = 1.0
    kappa_min: float = 1.0
    kappa_max: float = inf

    def __call__(self, kappa: float, tol: float, alpha: float = 1.0) -> float:
        """Return the expected number of queries; inf if it is beyond the range of floats.

        Raises
        ------
        ValueError
            If the formula returns anything but a number >= 0.
        """
        try:
            # on overflow a numpy scalar would warn, while a Python float raises
            with fault_of(f"the model {self.name!r} of `queries`"):
                queries = self.formula(float(kappa), float(tol), float(alpha))
        except OverflowError:
            return inf
        if not (isinstance(queries, Real) and queries >= 0):
            raise ValueError(
                f"`queries` must be a model that returns a number >= 0; got {queries!r} from {self.name!r} at "
                f"kappa={kappa:g}, tol={tol:g}, alpha={alpha:g}"
            )
        return float(queries)

    def rejection_reason(self, kappa: float, tol: float, alpha: float = 1.0) -> str | None:
        """Return why this model has no value here, or None."""
        if tol > self.tol_max:
            return (
                f"`tol` must be at most {self.tol_max:g} for model {self.name!r} ({self.source}); got {tol!r}"
            )
        if float(alpha) * float(kappa) > self.kappa_max:
            return (
                f"`kappa` must be at most {self.kappa_max / alpha:g} for model {self.name!r} ({self.source}) "
                f"at alpha={alpha:g}; got {kappa!r}; use another model, such as 'dalzell2024'"
            )
        return None


MIN_KAPPA_JENNINGS = sqrt(12)
"""Minimum condition number of theorem 1 of arXiv:2305.11352v1; smaller ones are raised to it."""


def jennings2023_single_run(kappa: float, tol: float, alpha: float = 1.0) -> float:
    """Return Q*, the queries of one run of `jennings2023`; it succeeds with probability 0.39 - 0.204 tol or more.

    Parameters
    ----------
    kappa : float
        Condition number; raised to sqrt(12), the minimum of the theorem.
    tol : float
        Error of the normalised solution, at most 0.24.
    alpha : float, default=1.0
        Normalisation factor of the block encoding.

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
    kappa = max(kappa, MIN_KAPPA_JENNINGS)
    L = log(2) + log(kappa + 1.5)
    adiabatic = (
        1741 * alpha * e / 500 * hypot(kappa, 1) * ((133 / 125 + 4 / (25 * kappa ** (1 / 3))) * pi * L + 1)
    )
    filtering = 351 / 50 * L**2 * (log(451 * L**2) - log(tol) + 1)
    return adiabatic + filtering + alpha * kappa * (log(32) - log(tol))


def success_probability(tol: float) -> float:
    """Return the proven success probability 0.39 - 0.204 tol of one run of `jennings2023`.

    Both 0.204 and 0.201 have been printed for the second constant. The larger one gives the smaller
    probability, and the expected queries differ by at most 0.22 %.
    """
    return 0.39 - 0.204 * tol


def _jennings2023(kappa: float, tol: float, alpha: float) -> float:
    return jennings2023_single_run(kappa, tol, alpha) / success_probability(tol)


def _jennings2025(kappa: float, tol: float, alpha: float) -> float:
    K = alpha * kappa
    # ln(2 / (sqrt(1 + tol / 4) - 1)), without cancellation or overflow
    log_ratio = log(8 * (sqrt(1 + tol / 4) + 1)) - log(tol)
    return 835.4 * K + _ceil(K * log_ratio + 2)


def _dalzell2024(kappa: float, tol: float, alpha: float) -> float:
    K = alpha * kappa
    log_ratio = log((1 - tol) * (1 + tol)) / 2 - log(tol)
    return K * (56.0 + 1.05 * log_ratio) + 2.78 * log(K) ** 3 + 3.17


def _costa2026(kappa: float, tol: float, alpha: float) -> float:
    K = max(alpha * kappa, 3.0)
    return K * (6 * log(K) + 6 - 1.07 * log(tol)) + 6 + 3 * log(K)


def _costa2023(constant: float) -> Formula:
    def count(kappa: float, tol: float, alpha: float) -> float:
        # the count is linear in alpha kappa, so that the minimum is found at alpha kappa = 1
        best = minimize_scalar(_costa2023_at, bounds=(1e-3, 1.0), args=(tol, constant), method="bounded")
        return alpha * kappa * float(best.fun)

    return count


def _costa2023_at(Delta: float, tol: float, constant: float) -> float:
    """Queries at alpha kappa = 1: an adiabatic walk to the overlap error Delta, then a filter, until both succeed."""
    miss = Delta**2 - Delta**4 / 4
    log_filter_tol = log(tol) + log((1 - miss) * (1 - tol**2 / 4) / miss) / 2 - log(1 - tol**2 / 2)
    log_filter_tol = min(log_filter_tol, 0.0)
    success = (1 - miss * (1 - exp(2 * log_filter_tol))) ** 2
    return (log(2) - log_filter_tol) / 2 * (1 / success + 1) + constant / (Delta * success)


def _childs2017(kappa: float, tol: float, alpha: float) -> float:
    K = alpha * kappa
    log_ratio = log2(K) - log2(tol)
    power = _ceil(K * K * log_ratio)
    terms = _ceil(sqrt(power) * sqrt(2 + log2(power) - log2(tol)))
    if terms == inf:
        return inf
    amplitude = min(alpha / (2 * (terms + 1)), 1.0)
    return 8.0 * terms * (2 * (pi / (4 * asin(amplitude)) // 1) + 1)


def _hhl2009(kappa: float, tol: float, alpha: float) -> float:
    return alpha * kappa * kappa / tol


def _ceil(x: float) -> float:
    """Smallest whole number >= x; floats of 2^53 and more, inf included, are whole already."""
    return float(ceil(x)) if x < 2.0**53 else x


QUERY_MODELS: dict[str, QueryModel] = {
    model.name: model
    for model in (
        QueryModel(
            "jennings2023",
            _jennings2023,
            "Jennings et al. (2023), arXiv:2305.11352v1, theorem 1",
            "proven",
            "The paper's model. The success constant 0.204 is printed as 0.201 elsewhere (0.22 % in counts at most).",
            tol_max=0.24,
            kappa_min=MIN_KAPPA_JENNINGS,
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
            "Sparse access, d = alpha. The logarithms are of base 2, although natural ones would do. Amplitude "
            "amplification (Brassard et al. 2002) is counted for the least favourable right-hand side, whose "
            "success amplitude is alpha over the 1-norm 2 (j0 + 1) of the coefficients.",
        ),
        QueryModel(
            "hhl2009",
            _hhl2009,
            "Harrow, Hassidim, Lloyd (2009), arXiv:0811.3171, O(d kappa^2 / eps)",
            "asymptotic",
            "The asymptotic scaling with its constant set to one; a scaling law, not a count.",
        ),
    )
}
"""Query models by name. Pass your own model, a callable or a `QueryModel`, in place of a name."""


def query_model(model: str | Formula | QueryModel, name: str = "model") -> QueryModel:
    """Return the `QueryModel` with this name, or a callable wrapped in one.

    Parameters
    ----------
    model : str, callable or QueryModel
        What the user gave.
    name : str, default="model"
        Parameter that the message names.

    Raises
    ------
    ValueError
        If no model has that name; the message lists those that exist.
    """
    if isinstance(model, QueryModel):
        return model
    if callable(model):
        label = getattr(model, "__name__", type(model).__name__)
        return QueryModel(label, model, "given by the caller", "numerical")
    if not isinstance(model, str) or model not in QUERY_MODELS:
        raise ValueError(
            f"`{name}` must be one of {sorted(QUERY_MODELS)} or a callable (kappa, tol, alpha) -> queries; "
            f"got {model!r}"
        )
    return QUERY_MODELS[model]


def query_count(
    kappa: float, tol: float, *, alpha: float = 1.0, model: str | Formula | QueryModel = "jennings2023"
) -> float:
    """Return the expected queries to the block encoding for one solution of A x = b.

    Failed runs are included. A is scaled to norm 1 and accessed by a block encoding of factor `alpha`;
    models that their source states for alpha = 1 are evaluated at alpha kappa.

    Parameters
    ----------
    kappa : float
        Condition number of A in the 2-norm, or an upper bound of it; finite and >= 1.
    tol : float
        Allowed l2 error of the normalised solution, in (0, 1).
    alpha : float, default=1.0
        Normalisation factor of the block encoding, finite and >= 1; d max|A_ij| / ||A||_2 for sparse access.
    model : str or callable, default="jennings2023"
        A name from `QUERY_MODELS`, or ``model(kappa, tol, alpha) -> float``.

    Returns
    -------
    float
        At least 0; inf if the count is beyond the range of floats.

    Raises
    ------
    ValueError
        If an argument is out of the range that the model's source allows, the model is unknown, or a callable
        returns anything but a number >= 0.

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
    reason = argument_rejection_reason(kappa, tol, alpha) or chosen.rejection_reason(kappa, tol, alpha)
    if reason:
        raise ValueError(reason)
    return chosen(kappa, tol, alpha)


def argument_rejection_reason(kappa: float, tol: float, alpha: float) -> str | None:
    """Return what is wrong with the arguments of any query count, or None."""
    if not (isinstance(kappa, Real) and 1 <= kappa < inf):
        return (
            f"`kappa` must be finite and >= 1 (raise `regularization` for a singular matrix); got {kappa!r}"
        )
    if not (isinstance(tol, Real) and 0 < tol < 1):
        return f"`tol` must be in (0, 1); got {tol!r}"
    if not (isinstance(alpha, Real) and 1 <= alpha < inf):
        return f"`alpha` must be finite and >= 1; got {alpha!r}"
    return None
