"""Factorisations of dense symmetric matrices: LU, Cholesky and Bunch-Kaufman L D L^T."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from qnewton_sk.machine import FLOPS

from .arrays import is_finite
from .status import SolveStatus


class Inertia(NamedTuple):
    """Numbers of negative, zero and positive eigenvalues."""

    negative: int
    zero: int
    positive: int

    @property
    def positive_definite(self):
        """Whether all eigenvalues are positive."""
        return self.negative == 0 and self.zero == 0

    @classmethod
    def of_signs(cls, values):
        """Return the inertia of a diagonal matrix."""
        signs = np.sign(values)
        return cls(int((signs < 0).sum()), int((signs == 0).sum()), int((signs > 0).sum()))


class Factorisation(ABC):
    """A factorised symmetric matrix A = H + shift I.

    Attributes
    ----------
    name : str
        Under which `SystemMatrix.factorisation` gives and keeps it.
    status : SolveStatus
        SUCCESS, or why no system can be solved with it: the other methods then have no meaning.
    """

    name: str
    status: SolveStatus

    @classmethod
    @abstractmethod
    def of(cls, matrix):
        """Return the factorisation of a `SystemMatrix`; float32 entries are factorised in float32."""

    @classmethod
    @abstractmethod
    def flops(cls, matrix):
        """Return the floating-point operations of `of`."""

    @abstractmethod
    def solve(self, b):
        """Return x with A x = b, for b of shape (n,) or (n, k)."""

    @abstractmethod
    def log_abs_determinant(self):
        """Return ln |det A|; -inf for a singular matrix."""

    @abstractmethod
    def inertia(self):
        """Return the `Inertia` of A by Sylvester's law, or None if the factors do not tell it."""

    @abstractmethod
    def reciprocal_condition(self, one_norm):
        """Return an estimate, from above up to rounding, of 1 / (||A||_1 ||A^-1||_1).

        Parameters
        ----------
        one_norm : float
            ||A||_1, the largest absolute column sum.
        """


class _DenseFactorisation(Factorisation):
    """Factors as LAPACK returns them: one square array, and pivots if there are any."""

    failed_status = SolveStatus.SINGULAR

    def __init__(self, factors, pivots, status):
        self.factors, self.pivots, self.status = factors, pivots, status

    @classmethod
    def flops(cls, matrix):
        """Return the floating-point operations of `of`."""
        return FLOPS[cls.name] * float(matrix.n) ** 3

    @classmethod
    def of(cls, matrix):
        """Return the factorisation of a `SystemMatrix`; float32 entries are factorised in float32."""
        A = matrix.dense().T  # in Fortran order at no copy: the transpose of a symmetric matrix is the matrix
        factors, pivots, info = cls._factorise(A)
        return cls(factors, pivots, cls._status_of(info, matrix, factors))

    @classmethod
    def _status_of(cls, info, matrix, factors):
        """The status by LAPACK's `info`; NaN and inf in the matrix end up in the pivots, or in none at all.

        Looking there afterwards saves a pass over all the entries if they are finite.
        """
        checked = [factors.diagonal()] + ([factors.diagonal(-1)] if cls.name == "ldl" else [])
        if info == 0 and all(np.isfinite(pivots).all() for pivots in checked):
            return SolveStatus.SUCCESS
        H = matrix.entries()
        finite = is_finite(H.data if sparse.issparse(H) else H) and np.isfinite(matrix.shift)
        if not finite:
            return SolveStatus.NON_FINITE
        return SolveStatus.SUCCESS if info == 0 else cls.failed_status

    def _lapack(self, routine, *arrays):
        return linalg.get_lapack_funcs(routine, (self.factors, *arrays))


class LUFactorisation(_DenseFactorisation):
    """P A = L U with partial pivoting (LAPACK getrf): 2/3 n^3 operations.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import SystemMatrix
    >>> matrix = SystemMatrix.from_entries(np.array([[2.0, 1.0], [1.0, 3.0]]))
    >>> matrix.factorisation("lu").solve(np.array([3.0, 4.0]))
    array([1., 1.])
    >>> matrix.factorised
    ('lu',)
    """

    name = "lu"

    @staticmethod
    def _factorise(A):
        return linalg.get_lapack_funcs("getrf", (A,))(A, overwrite_a=1)

    def solve(self, b):
        """Return x with A x = b, for b of shape (n,) or (n, k)."""
        return self._lapack("getrs", b)(self.factors, self.pivots, b)[0]

    def log_abs_determinant(self):
        """Return ln |det A|."""
        return _sum_of_logs(self.factors.diagonal())

    def inertia(self):
        """Return None: the signs of the pivots of LU are not those of the eigenvalues."""
        return None

    def reciprocal_condition(self, one_norm):
        """Return LAPACK's estimate (gecon) of 1 / (||A||_1 ||A^-1||_1)."""
        return float(self._lapack("gecon")(self.factors, one_norm)[0])


class CholeskyFactorisation(_DenseFactorisation):
    """A = L L^T (LAPACK potrf): 1/3 n^3 operations; the status tells whether A is positive definite.

    The lower triangle of `factors` holds L, the upper one is arbitrary.
    """

    name = "cholesky"
    failed_status = SolveStatus.NOT_POSITIVE_DEFINITE

    @staticmethod
    def _factorise(A):
        factors, info = linalg.get_lapack_funcs("potrf", (A,))(A, lower=1, clean=0, overwrite_a=1)
        return factors, None, info

    def solve(self, b):
        """Return x with A x = b, for b of shape (n,) or (n, k)."""
        return self._lapack("potrs", b)(self.factors, b, lower=1)[0]

    def half_solve(self, b):
        """Return L^-1 b for b of shape (n,)."""
        return self._lapack("trtrs", b)(self.factors, b, lower=1)[0]

    def log_abs_determinant(self):
        """Return ln det A."""
        return 2 * _sum_of_logs(self.factors.diagonal())

    def inertia(self):
        """Return (0, 0, n): the factorisation exists for positive definite matrices only."""
        return Inertia(0, 0, len(self.factors))

    def reciprocal_condition(self, one_norm):
        """Return LAPACK's estimate (pocon) of 1 / (||A||_1 ||A^-1||_1)."""
        return float(self._lapack("pocon")(self.factors, one_norm, uplo="L")[0])


class LDLFactorisation(_DenseFactorisation):
    """P A P^T = L D L^T with blocks of order 1 and 2 in D (Bunch-Kaufman, LAPACK sytrf): 1/3 n^3 operations.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import SystemMatrix
    >>> SystemMatrix.from_entries(np.diag([3.0, -1.0, 2.0])).factorisation("ldl").inertia()
    Inertia(negative=1, zero=0, positive=2)
    """

    name = "ldl"

    @staticmethod
    def _factorise(A):
        factorise, query = linalg.get_lapack_funcs(("sytrf", "sytrf_lwork"), (A,))
        return factorise(A, lower=1, lwork=int(query(len(A), lower=1)[0]), overwrite_a=1)

    def solve(self, b):
        """Return x with A x = b, for b of shape (n,) or (n, k)."""
        return self._lapack("sytrs", b)(self.factors, self.pivots, b, lower=1)[0]

    def log_abs_determinant(self):
        """Return ln |det A|."""
        return _sum_of_logs(self.eigenvalues_of_d())

    def inertia(self):
        """Return the `Inertia` of A, exact for a matrix within rounding of A."""
        return Inertia.of_signs(self.eigenvalues_of_d())

    def reciprocal_condition(self, one_norm):
        """Return LAPACK's estimate (sycon) of 1 / (||A||_1 ||A^-1||_1)."""
        return float(self._lapack("sycon")(self.factors, self.pivots, one_norm, lower=1)[0])

    def eigenvalues_of_d(self):
        """Return the n eigenvalues of the block-diagonal D, whose signs and product are those of A."""
        d = self.factors.diagonal().astype(float)
        first = np.flatnonzero(self.pivots < 0)[::2]  # sytrf marks both rows of a 2 x 2 block
        a, b, c = d[first], self.factors[first + 1, first].astype(float), d[first + 1]
        middle, radius = (a + c) / 2, np.hypot((a - c) / 2, b)
        d[first], d[first + 1] = middle - radius, middle + radius
        return d


def _sum_of_logs(pivots):
    with np.errstate(divide="ignore"):
        return float(np.log(np.abs(pivots.astype(float))).sum())
