"""Upper bounds and the 1-norm estimate of a condition number, from a factorisation or from the entries."""

import math

import numpy as np

from qnewton_sk.systems import FACTORISATIONS, SolveStatus, scale_of

from .lanczos import working_dtype
from .record import ConditionEstimator, ConditionNumber, ratio

SUPERLU_SLOWDOWN = 6.0
"""Rate of a dense L D L^T over that of SuperLU, per operation (measured, n = 2000 to 4000)."""


def factorised(matrix, otherwise="ldl", allow_sparse=True):
    """Return a factorisation of A and the operations spent on it; an existing one is preferred to a new one.

    A new one is a Cholesky factorisation if the structure says definite, a sparse LU if that is predicted to be
    faster, else the one named.

    Parameters
    ----------
    matrix : SystemMatrix
        The matrix A.
    otherwise : {"ldl", "lu"}, default="ldl"
        Name of the factorisation for a matrix of unknown structure.
    allow_sparse : bool, default=True
        Whether a sparse LU may be taken.

    Returns
    -------
    (Factorisation, float)
        Its status tells whether it can be used.
    """
    for name in FACTORISATIONS:
        if name in matrix.factorised and (allow_sparse or name != "sparse_lu"):
            kept = matrix.factorisation(name)
            if kept.status is SolveStatus.SUCCESS:
                return kept, 0.0
    name = _new_factorisation(matrix, otherwise, allow_sparse)
    new, flops = matrix.factorisation(name), FACTORISATIONS[name].flops(matrix)
    if new.status is SolveStatus.NOT_POSITIVE_DEFINITE:
        return matrix.factorisation(otherwise), flops + FACTORISATIONS[otherwise].flops(matrix)
    return new, flops


def _new_factorisation(matrix, otherwise, allow_sparse):
    if allow_sparse and matrix.is_sparse:
        if SUPERLU_SLOWDOWN * FACTORISATIONS["sparse_lu"].flops(matrix) < matrix.n**3 / 3:
            return "sparse_lu"
    known_definite = matrix.semidefinite and matrix.shift > 0
    return "cholesky" if known_definite and "cholesky" not in matrix.factorised else otherwise


def determinant_bound(n, log_abs_det, log_size, definite=False, eps=2.0**-52):
    """Upper bound of kappa_2 from the determinant, in logarithms throughout.

    With q = (n / ||A||_F^2)^n |det A|^2 and x = sqrt(1 - q): kappa <= sqrt((1 + x) / (1 - x)) for any
    matrix. With q = (n / tr A)^n det A: kappa <= (1 + x) / (1 - x) for a positive definite one.

    Parameters
    ----------
    n : int
        Order of the matrix.
    log_abs_det : float
        ln |det A|.
    log_size : float
        ln ||A||_F, or ln tr A for the definite form.
    definite : bool, default=False
        Use the definite form.
    eps : float, default=2**-52
        Relative rounding error of the arithmetic that gave the determinant.

    Returns
    -------
    float
        The bound; inf if it overflows.

    References
    ----------
    Merikoski, Urpala, Virtanen, Tam, Uhlig (1997), Linear Algebra and its Applications 254.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.condition_number import determinant_bound
    >>> A = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> round(determinant_bound(2, np.linalg.slogdet(A)[1], np.log(np.linalg.norm(A))), 3)
    14.933
    """
    log_q = (
        n * (math.log(n) - log_size) + log_abs_det
        if definite
        else n * (math.log(n) - 2 * log_size) + 2 * log_abs_det
    )
    # What rounding may have added to ln q is taken off, so that the bound holds.
    log_q -= 8 * n * eps * (1 + abs(log_size) + abs(log_abs_det) / n)
    x = math.sqrt(max(-math.expm1(log_q), 0.0)) if log_q < 0 else 0.0
    log_bound = 2 * math.log1p(x) - log_q if definite else math.log1p(x) - log_q / 2
    # The factorisation is that of a matrix closer than n eps ||A||, whose determinant differs by n eps kappa.
    log_bound += min(1.0, 8 * n * eps * math.exp(min(log_bound, 700.0)))
    return math.exp(log_bound) if log_bound < 709 else math.inf


class DeterminantCondition(ConditionEstimator):
    """The paper's bound from the determinant, through a factorisation that exists or a new one."""

    def estimate(self, matrix):
        """Return an upper bound for the cost of a factorisation, 2/3 n^3 flops (1/3 if definite)."""
        factorisation, flops = factorised(matrix, "lu", allow_sparse=False)
        if factorisation.status is not SolveStatus.SUCCESS:
            return ConditionNumber(math.inf, "upper bound", "determinant", flops)
        inertia = factorisation.inertia() if factorisation.name == "cholesky" else None
        definite = inertia is not None
        size = matrix.trace() if definite else matrix.frobenius_norm()
        bound = determinant_bound(
            matrix.n,
            factorisation.log_abs_determinant(),
            math.log(size),
            definite,
            float(np.finfo(working_dtype(matrix.dtype)).eps),
        )
        return ConditionNumber(bound, "upper bound", "determinant", flops, None, definite or None)


class OneNormCondition(ConditionEstimator):
    """LAPACK's estimate in the 1-norm (gecon, pocon, sycon), through a factorisation that exists or a new one."""

    def estimate(self, matrix):
        """Return an estimate that lies above kappa_2 up to the slack of the estimator."""
        factorisation, flops = factorised(matrix, "lu", allow_sparse=False)
        if factorisation.status is not SolveStatus.SUCCESS:
            return ConditionNumber(math.inf, "estimate", "one_norm", flops)
        kappa = ratio(1.0, factorisation.reciprocal_condition(matrix.one_norm()))
        definite = factorisation.name == "cholesky" or None
        return ConditionNumber(kappa, "estimate", "one_norm", flops + 12.0 * matrix.n**2, None, definite)


class ShiftCondition(ConditionEstimator):
    """(upper bound of the norm) / (lower bound of the smallest magnitude), in O(n^2).

    If H is positive semidefinite by structure, the smallest eigenvalue of A = H + shift I is at least the
    shift; for any matrix Gershgorin's discs bound it from below. The norm is bounded by the trace, the
    Frobenius norm, and max_i (|H| x)_i / x_i with x = |H| 1 (Collatz, Wielandt).
    """

    def estimate(self, matrix):
        """Return an upper bound; inf if nothing bounds the smallest eigenvalue away from 0."""
        H, shift, n = matrix.entries(), matrix.shift, matrix.n
        diagonal, magnitudes = H.diagonal().astype(float), abs(H)
        sums = np.asarray(magnitudes.sum(axis=1, dtype=float)).ravel()
        if not np.isfinite(sums).all():
            return ConditionNumber(math.inf, "upper bound", "shift", n**2)
        norm = min(matrix.shifted(0.0).frobenius_norm(), _collatz(magnitudes, sums))
        low = float((np.abs(diagonal + shift) - (sums - np.abs(diagonal))).min())
        definite = True if low > 0 and (diagonal + shift > 0).all() else None
        slack = 4 * n * float(np.finfo(matrix.dtype).eps)  # rounding of the sums and of H itself
        norm *= 1 + slack
        if matrix.semidefinite and shift > 0:
            norm = min(norm, float(diagonal.sum()) * (1 + slack))
            low, definite = max(low, shift), True
        low -= slack * norm
        norm += abs(shift)
        return ConditionNumber(ratio(norm, low), "upper bound", "shift", 6.0 * n**2, norm, definite)


def _collatz(magnitudes, sums):
    positive = sums > 0
    if not positive.any():
        return 0.0
    x = sums / scale_of(sums)  # any multiple of the vector gives the same bound
    if not x[positive].all():
        return math.inf  # rows of less than 1e-308 times the largest one bound nothing
    return float(((magnitudes @ x)[positive] / x[positive]).max())
