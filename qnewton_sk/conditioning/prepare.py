"""From a matrix to a system with its facts: shifted, pruned and measured."""

import numpy as np
from scipy import sparse
from scipy.linalg import blas

from qnewton_sk.systems import FACTORISATIONS, LinearSystem, SystemFacts, SystemMatrix, is_finite

from .condition_number import as_estimator
from .pruning import greedy_pairs, pruned_entries
from .sparsity import resolve_row_limit, row_counts

SAMPLED_ROWS = 16
"""Number of rows whose 50 % sparsity is counted; their maximum estimates that of all rows."""

SPARSE_BELOW = 0.2
"""Share of nonzeros below which a pruned matrix is held in CSR: its product is faster than a dense one."""


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
        Nonzeros per row to prune to (int), or their share of n (float in (0, 1]). The diagonal is kept, so that
        the shift adds no nonzero. The pruned matrix is measured, and kept for further shifts.
    condition_number : str or object, default="auto"
        Name of an estimator, see `qnewton_sk.condition_number`, or an object with
        ``estimate(matrix) -> ConditionNumber``.
    norm_hint : float, default=None
        Estimate of the spectral norm of H from an earlier step, which saves measuring it.
    iterations : float, default=None
        Products that an iterative solve is expected to take, copied to the facts.
    radius : float, default=None
        Length that may bound the step in place of the shift; copied to the facts.

    Returns
    -------
    LinearSystem
        Its `facts.row_nonzeros` is the limit of the pruning, or the 50 % sparsity estimated from a sample of
        rows, or n if there are no entries.

    Raises
    ------
    ValueError
        If `oracle_sparsity` or `condition_number` is not as above.

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
    found = _measured(A, estimator, norm_hint, radius is not None, rhs)
    if oracle_sparsity is not None:
        found["row_nonzeros"] = resolve_row_limit(oracle_sparsity, A.n, "oracle_sparsity")
    facts = known_facts(A) | found | {"iterations": iterations, "radius": radius}
    return LinearSystem(A, rhs, tol, SystemFacts(**facts))


def pruned(matrix, d):
    """Return H pruned to `d` nonzeros per row, diagonal first, as a `SystemMatrix`; it is pruned once per d.

    Parameters
    ----------
    matrix : SystemMatrix
        H; it is assembled if it is not yet.
    d : int or float
        Nonzeros per row, or their share of n.
    """
    limit = resolve_row_limit(d, matrix.n, "oracle_sparsity")
    kept = matrix.shared("pruned", dict)
    if limit not in kept:
        kept[limit] = SystemMatrix.from_entries(_pruned_entries(matrix.entries(), limit), check=False)
    return kept[limit].shifted(matrix.shift)


def _pruned_entries(H, limit):
    if limit == H.shape[0]:
        return H
    if not is_finite(H.data if sparse.issparse(H) else H):
        return H  # the solver reports it
    rows, columns = greedy_pairs(H, limit, keep_diagonal=True)
    return pruned_entries(H, rows, columns, dense=2 * rows.size > SPARSE_BELOW * H.shape[0] ** 2)


def known_facts(A):
    """Return what a `SystemMatrix` says about itself without any measuring, as arguments of `SystemFacts`."""
    return {
        "n": A.n,
        "positive_definite": True if A.semidefinite and A.shift > 0 else None,
        "shift": A.shift,
        "assembly_flops": 0.0 if A.assembled else A.assembly_flops,
        "product_flops": A.product_flops,
        "nnz": A.entries().nnz if A.is_sparse else None,
        "rank": A.rank,
        "factor_flops": 0.0 if A.factored else A.factor_flops,
        "single_flops": A.single_flops,
        "factorised": tuple(name for name in A.factorised if name in FACTORISATIONS),
        "itemsize": A.dtype.itemsize,
    }


def _measured(A, estimator, norm_hint, has_radius, rhs):
    """Measured facts: kappa and its kind, norm, largest entry, sparsity, definiteness."""
    with np.errstate(over="ignore", invalid="ignore"):  # a norm that overflows is reported as inf
        kappa = estimator.estimate_in_fit(A, norm_hint, has_radius, rhs)
    norm = kappa.norm
    if norm is None and norm_hint is not None:
        norm = norm_hint + A.shift
    found = {
        "kappa": max(1.0, float(kappa)),
        "kappa_kind": kappa.kind,
        "norm": norm,
        "positive_definite": kappa.positive_definite,
    }
    if A.assembled:
        found["max_abs"] = _max_abs(A)
        found["row_nonzeros"] = _row_nonzeros(A)
    return {name: value for name, value in found.items() if value is not None}


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
    """The maximum 50 % sparsity of a sample of rows; None if they are not finite."""
    H = A.entries()
    chosen = _sample(A.n)
    rows = H[chosen].toarray() if sparse.issparse(H) else H[chosen]
    rows[np.arange(chosen.size), chosen] += A.shift
    if not np.isfinite(rows).all():
        return None
    return max(1, int(row_counts(rows, (0.5,)).max()))


def _sample(n):
    return np.arange(n) if n <= SAMPLED_ROWS else np.random.default_rng(0).permutation(n)[:SAMPLED_ROWS]
