"""From a matrix to a system with its facts: shift, prune, measure."""

import math

import numpy as np
from scipy import sparse
from scipy.linalg import blas

from qnewton_sk.systems import LinearSystem, SystemFacts, SystemMatrix

from .condition_number import SOLVES, AutoCondition, ConditionNumber, as_estimator, norm_start
from .lanczos import block_lanczos
from .pruning import greedy_pairs, pruned_entries, resolve_row_limit, row_counts

SAMPLED_ROWS = 16
"""Rows whose 50 % sparsity is counted; their maximum is an estimate of that of all rows."""

SPARSE_BELOW = 0.2
"""Share of nonzeros below which a pruned matrix is held in CSR: its product is faster than a dense one."""

NORM_STEPS = {False: 5, True: 2}
"""Lanczos products for the norm, by whether the order is above `LARGE`; one more without entries.
A product costs 1 % of an LU solve at N = 4000."""

LARGE = 1500


def prepare(
    matrix,
    rhs,
    tol,
    shift,
    *,
    oracle_sparsity=None,
    condition_number="auto",
    norm_hint=None,
    iterations=None,
    radius=None,
    measure=True,
):
    """Build the system (H + shift I) x = rhs, pruned if asked for, and measure what the costs depend on.

    A matrix that is not assembled stays so, unless pruning or an estimator that needs entries is asked for.

    Parameters
    ----------
    matrix : SystemMatrix
        H, without shift.
    rhs : ndarray of shape (n,)
        Right-hand side.
    tol : float
        Allowed relative error of x.
    shift : float
        Damping plus regularisation, added to the diagonal.
    oracle_sparsity : int or float, default=None
        Prune to so many nonzeros a row (int), or to that share of n (float in (0, 1]); the diagonal is kept,
        so that the shift adds no nonzero. The pruned matrix is measured, and kept for further shifts.
    condition_number : str or object, default="auto"
        Name of an estimator, see `qnewton_sk.condition_number`, or an object with
        ``estimate(matrix) -> ConditionNumber``.
    norm_hint : float, default=None
        Estimate of the spectral norm of H from a step before; saves measuring it.
    iterations : float, default=None
        Products that an iterative solve is expected to take, copied to the facts.
    radius : float, default=None
        Length at which an iterative solver may cut the step instead of adding the shift; copied to the facts.
    measure : bool, default=True
        Whether to measure; else only what costs nothing is filled in.

    Returns
    -------
    LinearSystem
        Its facts hold `row_nonzeros` as the limit of the pruning, or the 50 % sparsity estimated from a
        sample of rows, or n where there are no entries to look at.

    Raises
    ------
    ValueError
        If `oracle_sparsity` or `condition_number` is none of the above.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.prepare import prepare
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> H = SystemMatrix.from_entries(np.diag([0.0, 1.0, 3.0]), semidefinite=True)
    >>> facts = prepare(H, np.ones(3), 1e-6, shift=1.0).facts
    >>> round(facts.kappa, 6), facts.kappa_kind, facts.positive_definite
    (4.0, 'estimate', True)
    """
    estimator = as_estimator(condition_number)
    base = matrix if oracle_sparsity is None else pruned(matrix, oracle_sparsity)
    A = base.shifted(shift)
    found = {}
    if oracle_sparsity is not None:
        found["row_nonzeros"] = resolve_row_limit(oracle_sparsity, A.n)
    if measure:
        found = _measured(A, estimator, norm_hint, radius is not None) | found
    return LinearSystem(A, rhs, tol, _facts(A, iterations, found | {"radius": radius}))


def pruned(matrix, d):
    """Return H pruned to `d` nonzeros a row, diagonal first, as a `SystemMatrix`; pruned once for each d.

    Parameters
    ----------
    matrix : SystemMatrix
        H; assembled if it is not.
    d : int or float
        Nonzeros a row, or the share of n.
    """
    limit = resolve_row_limit(d, matrix.n)
    kept = matrix.shared("pruned", dict)
    if limit not in kept:
        kept[limit] = SystemMatrix.from_entries(_pruned_entries(matrix.entries(), limit))
    return kept[limit].shifted(matrix.shift)


def _pruned_entries(H, limit):
    if limit == H.shape[0]:
        return H
    if not np.isfinite(H.data if sparse.issparse(H) else H).all():
        return H  # the solver reports it
    rows, columns = greedy_pairs(H, limit, keep_diagonal=True)
    return pruned_entries(H, rows, columns, dense=2 * rows.size > SPARSE_BELOW * H.shape[0] ** 2)


def _facts(A, iterations, found):
    sparse_held = A.is_sparse
    facts = {
        "n": A.n,
        "positive_definite": True if A.semidefinite and A.shift > 0 else None,
        "shift": A.shift,
        "assembly_flops": 0.0 if A.assembled else A.assembly_flops,
        "product_flops": A.product_flops,
        "nnz": A.entries().nnz if sparse_held else None,
        "rank": A.rank,
        "factor_flops": 0.0 if A.factored else A.factor_flops,
        "single_flops": A.single_flops,
        "factorised": tuple(name for name in A.kept if name in SOLVES),
        "iterations": iterations,
        "itemsize": A.dtype.itemsize,
    }
    return SystemFacts(**(facts | found))


def _measured(A, estimator, norm_hint, bounded):
    """Facts from measuring: kappa and its kind, norm, largest entry, sparsity, definiteness."""
    kappa = _structural(A, norm_hint, bounded) if isinstance(estimator, AutoCondition) else None
    if kappa is None:
        kappa = estimator.estimate(A)
    norm = kappa.norm if isinstance(kappa, ConditionNumber) else None
    found = {"kappa": max(1.0, float(kappa)), "kappa_kind": getattr(kappa, "kind", "estimate"), "norm": norm}
    if norm is None and norm_hint is not None:
        found["norm"] = norm_hint + A.shift
    definite = getattr(kappa, "positive_definite", None)
    if definite is not None:
        found["positive_definite"] = definite
    if A.assembled:
        found["max_abs"] = _max_abs(A)
        found["row_nonzeros"] = _row_nonzeros(A)
    return {name: value for name, value in found.items() if value is not None}


def _structural(A, norm_hint, bounded):
    """kappa from the norm and the shift alone, (norm + shift) / shift; None where more is known or needed.

    For a semidefinite matrix this is an upper bound but for the error of the norm. For any other one without
    entries it is an estimate: the Hessian of a net has a bulk of eigenvalues about zero (Sagun, Evci, Guney,
    Dauphin, Bottou 2017, arXiv:1706.04454), which the shift lifts. So it is at a retry inside a smaller radius,
    where the entries exist: a factorisation of the damped matrix would serve the measuring alone.
    """
    known = A.semidefinite or not A.assembled or (bounded and norm_hint is not None)
    if not A.shift > 0 or any(name in A.kept for name in SOLVES) or not known:
        return None
    flops, definite = 0.0, True if A.semidefinite else None
    if norm_hint is None:
        ritz = _norm(A)
        norm, flops = ritz.largest_magnitude, ritz.products * A.product_flops
    else:
        norm = norm_hint + A.shift
    kappa = max(1.0, norm / A.shift) if math.isfinite(norm) else math.inf
    return ConditionNumber(kappa, "estimate", "shift", flops, norm if math.isfinite(norm) else None, definite)


def _norm(A):
    start = norm_start(A)
    steps = NORM_STEPS[A.n > LARGE] + (start is None)
    return block_lanczos(
        lambda V: A.product(V[:, 0])[:, None], A.n, block=1, max_steps=steps, start=start, dtype=A.dtype
    )


def _max_abs(A):
    """Largest magnitude of A; a semidefinite matrix has it on its diagonal."""
    H = A.entries()
    diagonal = H.diagonal() + A.shift
    on = float(np.abs(diagonal).max())
    if A.semidefinite:
        return on
    if sparse.issparse(H):
        return max(on, float(np.abs(H.data).max(initial=0)))
    entries = H.ravel("K")
    return max(
        on, float(abs(entries[blas.isamax(entries) if H.dtype == np.float32 else blas.idamax(entries)]))
    )


def _row_nonzeros(A):
    """The 50 % sparsity at most, estimated on a sample of rows; None where the rows are not finite."""
    H = A.entries()
    chosen = _sample(A.n)
    rows = H[chosen].toarray() if sparse.issparse(H) else H[chosen]
    rows[np.arange(chosen.size), chosen] += A.shift
    if not np.isfinite(rows).all():
        return None
    return max(1, int(row_counts(rows, (0.5,)).max()))


def _sample(n):
    return np.arange(n) if n <= SAMPLED_ROWS else np.random.default_rng(0).permutation(n)[:SAMPLED_ROWS]
