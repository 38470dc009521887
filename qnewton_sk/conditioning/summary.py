"""The diagnostics of a Hessian: extremes, signs, trace, sparsity and effective parameters, within a budget."""

import math
import time

import numpy as np

from qnewton_sk.systems import SolveStatus

from .lanczos import projection
from .sparsity import row_counts

ENTRIES = (
    "largest_eigenvalue",
    "smallest_eigenvalue",
    "smallest_magnitude",
    "n_negative",
    "condition_number",
    "trace",
    "row_sparsity",
    "effective_parameters",
)
"""Entries of a summary, beside `n`, `how` and `seconds`."""

EXACT_FLOPS = 8.0
"""Operations of all eigenvalues and of the diagonal of the inverse in units of N^3: 4/3 for the tridiagonal form at a
quarter of the rate of matrix products (LAPACK syevd, Golub and Van Loan, section 8.3), and 8/3 for the inverse."""

SHARE_OF_ROWS = 10
"""One in this number of products is spent on a row of the matrix, for its sparsity; the others on Lanczos."""

MIN_PRODUCTS_WITH_ROW = 3
"""Minimum budget for which at least one row is computed."""

MAX_LANCZOS = 200
"""Maximum number of Lanczos steps, whatever the budget: the basis is kept orthogonal at a cost that grows with them."""


def hessian_summary(matrix, *, exact=True, products=0):
    """Return a summary of a symmetric matrix without its shift.

    Parameters
    ----------
    matrix : SystemMatrix
        The matrix; its shift is left out, its `factor_diagonal` is the L2 penalty of each parameter.
    exact : bool, default=True
        Compute all eigenvalues from the entries; this takes O(n^3) operations.
    products : int, default=0
        Maximum number of matvecs that may be spent instead.

    Returns
    -------
    dict
        `n`; `largest_eigenvalue`, `smallest_eigenvalue`; `smallest_magnitude` among the eigenvalues; `n_negative`,
        the number of eigenvalues below rounding; `condition_number`; `trace`; `row_sparsity`, the number of entries
        that make up half of the absolute sum of a row, in the row that needs the most (arXiv:2405.00252, section V);
        `effective_parameters`, n minus the trace of penalty times inverse (MacKay 1992, "Bayesian interpolation",
        section 4), NaN unless the matrix is positive definite; `how`, which says for each entry whether it is
        "exact", an "estimate", a "lower bound", an "upper bound" or "not measured" (then it is NaN); `seconds`.

    Notes
    -----
    With products, the Ritz values of a Lanczos iteration lie between the extreme eigenvalues, and no more of them are
    negative than there are negative eigenvalues (Cauchy's interlacing theorem; Golub and Van Loan, section 8.1).

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import SystemMatrix
    >>> from qnewton_sk.conditioning import hessian_summary
    >>> summary = hessian_summary(SystemMatrix.from_entries(np.diag([4.0, -1.0, 2.0])))
    >>> summary["n_negative"], summary["condition_number"], summary["how"]["trace"]
    (1, 4.0, 'exact')
    """
    start = time.perf_counter()
    matrix = matrix.shifted(0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = _from_entries(matrix) if exact else _from_products(matrix, products)
    summary = {"n": matrix.n}
    how = {}
    for name in ENTRIES:
        summary[name], how[name] = found.get(name, (math.nan, "not measured"))
    return summary | {"how": how, "seconds": time.perf_counter() - start}


def _from_entries(matrix):
    """All entries from the eigenvalues; nothing if the matrix is not finite."""
    H = matrix.dense()
    if not np.isfinite(H).all():
        return {}
    values = np.linalg.eigvalsh(H)
    magnitudes = np.abs(values)
    norm, smallest = float(magnitudes.max()), float(magnitudes.min())
    rounding = matrix.n * float(np.finfo(H.dtype).eps) * norm
    found = {
        "largest_eigenvalue": float(values[-1]),
        "smallest_eigenvalue": float(values[0]),
        "smallest_magnitude": smallest,
        "n_negative": int((values < -rounding).sum()),
        "condition_number": norm / smallest if smallest > 0 else math.inf,
        "trace": float(H.diagonal().sum(dtype=float)),
        "row_sparsity": int(row_counts(H, (0.5,)).max()) if norm else 1,
    }
    if values[0] > rounding:
        found["effective_parameters"] = _effective_parameters(matrix, H)
    return {name: (value, "exact") for name, value in found.items() if not _is_nan(value)}


def _effective_parameters(matrix, H):
    """n - tr(P H^-1) for the penalty P on the diagonal; NaN if the factorisation fails."""
    penalty = np.broadcast_to(np.asarray(matrix.factor_diagonal, dtype=float), (matrix.n,))
    penalised = np.flatnonzero(penalty)
    if not penalised.size:
        return float(matrix.n)
    factorisation = matrix.factorisation("cholesky")
    if factorisation.status is not SolveStatus.SUCCESS:
        return math.nan
    columns = np.zeros((matrix.n, penalised.size), dtype=H.dtype, order="F")
    columns[penalised, np.arange(penalised.size)] = 1
    inverse = factorisation.solve(columns)
    return float(matrix.n - penalty[penalised] @ inverse[penalised, np.arange(penalised.size)])


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def _from_products(matrix, products):
    """Bounds and estimates from this number of matvecs."""
    n_rows = max(products // SHARE_OF_ROWS, int(products >= MIN_PRODUCTS_WITH_ROW))
    steps = min(products - n_rows, MAX_LANCZOS, matrix.n)
    found = {}
    if steps > 0:
        found.update(_from_lanczos(matrix, steps))
    if n_rows:
        row_sparsity = sampled_row_sparsity(matrix, n_rows)
        if row_sparsity is not None:
            found["row_sparsity"] = row_sparsity, "exact" if n_rows >= matrix.n else "lower bound"
    return found


def _from_lanczos(matrix, steps):
    ritz = projection(lambda V: matrix.product(V[:, 0])[:, None], matrix.n, steps, dtype=matrix.dtype)
    if ritz is None:
        return {}
    values, weights, smallest_magnitude = ritz
    norm = float(np.abs(values[[0, -1]]).max())
    rounding = matrix.n * float(np.finfo(matrix.dtype).eps) * norm
    kappa = norm / smallest_magnitude if smallest_magnitude > 0 else math.inf
    return {
        "largest_eigenvalue": (float(values[-1]), "lower bound"),
        "smallest_eigenvalue": (float(values[0]), "upper bound"),
        "smallest_magnitude": (smallest_magnitude, "upper bound"),
        "n_negative": (int((values < -rounding).sum()), "lower bound"),
        "condition_number": (max(1.0, kappa), "lower bound"),
        "trace": (float(matrix.n * (weights @ values)), "estimate"),
    }


def sampled_row_sparsity(matrix, n_rows, seed=0):
    """Return the 50 % sparsity of the row that needs the most entries, among rows drawn at random.

    Parameters
    ----------
    matrix : SystemMatrix
        The matrix; if it has no entries, each row costs one matvec.
    n_rows : int
        Number of rows.
    seed : int, default=0
        For the choice of rows.

    Returns
    -------
    int or None
        A lower bound for all rows; None if a row is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import SystemMatrix
    >>> from qnewton_sk.conditioning import sampled_row_sparsity
    >>> sampled_row_sparsity(SystemMatrix.from_entries(np.ones((6, 6))), 2)
    3
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(matrix.n)[:n_rows])
    rows = np.empty((chosen.size, matrix.n), dtype=matrix.dtype)
    for k, i in enumerate(chosen):
        unit = np.zeros(matrix.n, dtype=matrix.dtype)
        unit[i] = 1
        rows[k] = matrix.product(unit)
    if not np.isfinite(rows).all():
        return None
    return max(1, int(row_counts(rows, (0.5,)).max()))
