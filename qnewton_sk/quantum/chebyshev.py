"""The odd Chebyshev polynomial that inverts a matrix whose eigenvalues lie in 1/kappa <= |x| <= 1."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import atanh, ceil, log, log1p, sqrt

import numpy as np
from scipy.fft import dct

MAX_VALUE = 0.9
"""Maximum of |P| on [-1, 1]. It is below 1, so that phase factors exist; finding them costs 1 / (1 - 0.9)."""

MIN_KAPPA = 1.1
"""Smaller condition numbers are raised to this value, so that the two intervals do not shrink to the points
-1 and 1."""

MAX_TOL = 0.5
"""Larger errors are lowered to this value; beyond it the ripples of P would exceed its peak at x ~ 1.6 / kappa."""


@dataclass(frozen=True)
class InversePolynomial:
    """P(x) = s / x up to a relative error on 1/kappa <= |x| <= 1, odd, |P| <= 0.9 on [-1, 1].

    Parameters
    ----------
    coefficients : ndarray of shape (degree + 1,)
        Coefficients of the Chebyshev polynomials T_0, T_1, ...; the even ones are zero.
    scale : float
        Factor s.
    kappa : float
        Inverse of the smallest |x| at which the approximation holds.
    tol : float
        Bound on |x P(x) / s - 1| for all larger |x|.
    """

    coefficients: np.ndarray
    scale: float
    kappa: float
    tol: float

    @property
    def degree(self) -> int:
        """Degree, which is the number of queries to the block encoding in one run."""
        return self.coefficients.size - 1

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return P(x) for x of any shape, in [-1, 1]."""
        return np.polynomial.chebyshev.chebval(x, self.coefficients)

    def apply(self, product: Callable[[np.ndarray], np.ndarray], v: np.ndarray) -> np.ndarray:
        """Return P(A) v by Clenshaw's recurrence.

        Parameters
        ----------
        product : callable
            ``product(u) -> A u``, A symmetric of norm at most 1.
        v : ndarray of shape (n,)

        Returns
        -------
        ndarray of shape (n,)
        """
        upper, lower = np.zeros_like(v), np.zeros_like(v)
        for c in self.coefficients[:0:-1]:
            upper, lower = c * v + 2 * product(upper) - lower, upper
        return self.coefficients[0] * v + product(upper) - lower


def inverse_degree(kappa: float, tol: float) -> int:
    """Return the minimum degree of an odd polynomial that is s/x up to the relative error `tol`.

    Parameters
    ----------
    kappa : float
        Condition number, finite and >= 1.
    tol : float
        Relative error, in (0, 1).

    Examples
    --------
    >>> from qnewton_sk.quantum.chebyshev import inverse_degree
    >>> [inverse_degree(kappa, 1e-3) for kappa in (10, 100, 1000)]
    [75, 761, 7601]
    """
    return 2 * _steps(max(kappa, MIN_KAPPA), min(tol, MAX_TOL)) - 1


def _steps(kappa: float, tol: float) -> int:
    """Smallest n with 1 / T_n(y(0)) <= tol, that is arcosh(1 / tol) / arcosh(y(0)), the latter 2 artanh(1 / kappa)."""
    return ceil((log1p(sqrt((1 - tol) * (1 + tol))) - log(tol)) / (2 * atanh(1 / kappa)))


@lru_cache(maxsize=32)
def inverse_polynomial(kappa: float, tol: float) -> InversePolynomial:
    """Return the `InversePolynomial` of minimum degree.

    Of all odd polynomials of degree 2 n - 1, [1 - T_n(y(x)) / T_n(y(0))] / x has the smallest maximum
    relative error as an approximation of 1/x, 1 / T_n(y(0)), where y(x) = (1 + a^2 - 2 x^2) / (1 - a^2) maps a <=
    |x| <= 1 to [-1, 1] and a = 1 / kappa. It works for definite and indefinite matrices alike.

    Parameters
    ----------
    kappa : float
        Condition number, >= 1.
    tol : float
        Relative error, in (0, 1).

    References
    ----------
    Chebyshev's iteration: Golub, Varga (1961), Numerische Mathematik 3. As the polynomial of a quantum linear
    solver: Gribling, Kerenidis, Szilagyi (2021), arXiv:2109.04248.

    Examples
    --------
    >>> from qnewton_sk.quantum.chebyshev import inverse_polynomial
    >>> P = inverse_polynomial(10.0, 1e-3)
    >>> bool(abs(0.3 * P(0.3) / P.scale - 1) <= 1e-3)
    True
    """
    kappa, tol = max(float(kappa), MIN_KAPPA), min(float(tol), MAX_TOL)
    n = _steps(kappa, tol)
    scale = MAX_VALUE / _max_value(kappa, n)
    coefficients = scale * _interpolate(lambda x: _optimal(x, kappa, n), 2 * n - 1)
    coefficients[::2] = 0.0
    coefficients.setflags(write=False)
    return InversePolynomial(coefficients, scale, kappa, tol)


def _optimal(x: np.ndarray, kappa: float, n: int) -> np.ndarray:
    """[1 - T_n(y(x)) / T_n(y(0))] / x for x != 0; the ratio is computed from logarithms."""
    a2 = kappa**-2.0
    y = (1 + a2 - 2 * x**2) / (1 - a2)
    peak = 2 * n * atanh(1 / kappa)
    beyond = n * np.arccosh(np.maximum(y, 1))
    numerator = np.where(
        y > 1,
        np.exp(beyond - peak) * (1 + np.exp(-2 * beyond)),
        np.exp(-peak) * 2 * np.cos(n * np.arccos(np.clip(y, -1, 1))),
    )
    return (1 - numerator / (1 + np.exp(-2 * peak))) / x


def _max_value(kappa: float, n: int) -> float:
    # the maximum lies at x ~ 1.6 a / sqrt(ln(2 / tol)) or, for large tol, on the first ripple right of a
    x = np.linspace(1e-3, 4, 16001) / kappa
    return float(np.abs(_optimal(np.minimum(x, 1.0), kappa, n)).max() * (1 + 1e-6))


def _interpolate(f: Callable[[np.ndarray], np.ndarray], degree: int) -> np.ndarray:
    """Chebyshev coefficients of f, which is a polynomial of this degree."""
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    c = dct(f(nodes), type=2) / (degree + 1)
    c[0] /= 2
    return c
