"""Dense LU, Cholesky and LDL factorisations, kept on the matrix by whoever pays first; solves and inertia."""

from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import splu

NON_FINITE = -4
"""`info` of a matrix with NaN or inf, as LAPACKE reports it (its NaN check of argument 4)."""


class Inertia(NamedTuple):
    """Numbers of negative, zero and positive eigenvalues."""

    negative: int
    zero: int
    positive: int


def lu_factor(matrix):
    """Return the LU factorisation of `matrix`, kept under "lu".

    Parameters
    ----------
    matrix : SystemMatrix
        Of order n; float32 entries are factorised in float32, all others in float64.

    Returns
    -------
    (lu, piv, info)
        As from LAPACK getrf: `info` is 0 for success, i > 0 where pivot i is exactly zero, negative for
        a matrix that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.systems.factorisations import lu_factor, lu_solve
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> A = SystemMatrix.from_entries(np.array([[2.0, 1.0], [1.0, 3.0]]))
    >>> lu_solve(lu_factor(A), np.array([3.0, 4.0]))
    array([1., 1.])
    >>> A.kept
    ('lu',)
    """
    return matrix.cached("lu", lambda: _lu(matrix))


def cholesky_factor(matrix):
    """Return the Cholesky factorisation of `matrix`, kept under "cholesky".

    Parameters
    ----------
    matrix : SystemMatrix
        Of order n.

    Returns
    -------
    (c, info)
        As from LAPACK potrf with lower=1: the lower triangle of `c` holds L, the upper one is arbitrary;
        `info` is 0 for success, i > 0 where the leading minor i is not positive, negative for a matrix
        that is not finite.
    """
    return matrix.cached("cholesky", lambda: _cholesky(matrix))


def ldl_factor(matrix):
    """Return the Bunch-Kaufman factorisation L D L^T of `matrix`, kept under "ldl".

    Parameters
    ----------
    matrix : SystemMatrix
        Of order n.

    Returns
    -------
    (ldu, ipiv, info)
        As from LAPACK sytrf with lower=1: `info` is 0 for success, i > 0 where D[i, i] is exactly zero,
        negative for a matrix that is not finite.
    """
    return matrix.cached("ldl", lambda: _ldl(matrix))


def sparse_lu_factor(matrix):
    """Return the SuperLU factorisation of a matrix held sparse, kept under "sparse_lu".

    Minimum degree ordering of the symmetric pattern, pivots from the diagonal where they are not small.

    Parameters
    ----------
    matrix : SystemMatrix
        Whose entries are a scipy.sparse array.

    Returns
    -------
    (lu, info)
        A `scipy.sparse.linalg.SuperLU`, or None where `info` is not 0: 1 for an exactly singular matrix,
        negative for one that is not finite.
    """
    return matrix.cached("sparse_lu", lambda: _sparse_lu(matrix))


def sparse_lu_solve(payload, b):
    """Return x with A x = b, for b of shape (n,) or (n, k) and the payload of `sparse_lu_factor`."""
    lu, _ = payload
    return lu.solve(np.asarray(b, dtype=lu.L.dtype))


def lu_solve(payload, b):
    """Return x with A x = b, for b of shape (n,) or (n, k) and the payload of `lu_factor`."""
    lu, piv, _ = payload
    return linalg.get_lapack_funcs("getrs", (lu, b))(lu, piv, b)[0]


def cholesky_solve(payload, b):
    """Return x with A x = b, for b of shape (n,) or (n, k) and the payload of `cholesky_factor`."""
    c, _ = payload
    return linalg.get_lapack_funcs("potrs", (c, b))(c, b, lower=1)[0]


def ldl_solve(payload, b):
    """Return x with A x = b, for b of shape (n,) or (n, k) and the payload of `ldl_factor`."""
    ldu, ipiv, _ = payload
    return linalg.get_lapack_funcs("sytrs", (ldu, b))(ldu, ipiv, b, lower=1)[0]


def ldl_inertia(payload):
    """Count the eigenvalues by sign (Sylvester's law) from the payload of `ldl_factor`.

    Returns
    -------
    Inertia
        Named tuple (negative, zero, positive).

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.systems.factorisations import ldl_factor, ldl_inertia
    >>> from qnewton_sk.systems.system_matrix import SystemMatrix
    >>> ldl_inertia(ldl_factor(SystemMatrix.from_entries(np.diag([3.0, -1.0, 2.0]))))
    Inertia(negative=1, zero=0, positive=2)
    """
    signs = np.sign(ldl_eigenvalues_of_d(payload))
    return Inertia(int((signs < 0).sum()), int((signs == 0).sum()), int((signs > 0).sum()))


def ldl_eigenvalues_of_d(payload):
    """Return the n eigenvalues of the block-diagonal D, whose signs and product are those of A."""
    ldu, ipiv, _ = payload
    d = ldu.diagonal().astype(float)
    first = _first_of_pairs(ipiv)
    a, b, c = d[first], ldu[first + 1, first].astype(float), d[first + 1]
    middle, radius = (a + c) / 2, np.hypot((a - c) / 2, b)
    d[first], d[first + 1] = middle - radius, middle + radius
    return d


def _first_of_pairs(ipiv):
    """Rows where a 2 x 2 block starts: sytrf marks both of its rows with the same negative pivot."""
    negative = np.flatnonzero(ipiv < 0)
    return negative[::2]


def _fortran(matrix):
    """A fresh array in Fortran order at no copy: the transpose of a symmetric matrix is the matrix."""
    return matrix.dense().T


def _lu(matrix):
    A = _fortran(matrix)
    lu, piv, info = linalg.get_lapack_funcs("getrf", (A,))(A, overwrite_a=1)
    return lu, piv, _info(info, matrix, lu.diagonal())


def _cholesky(matrix):
    A = _fortran(matrix)
    c, info = linalg.get_lapack_funcs("potrf", (A,))(A, lower=1, clean=0, overwrite_a=1)
    return c, _info(info, matrix, c.diagonal())


def _ldl(matrix):
    A = _fortran(matrix)
    factorise, query = linalg.get_lapack_funcs(("sytrf", "sytrf_lwork"), (A,))
    lwork = int(query(len(A), lower=1)[0])
    ldu, ipiv, info = factorise(A, lower=1, lwork=lwork, overwrite_a=1)
    return ldu, ipiv, _info(info, matrix, ldu.diagonal(), ldu.diagonal(-1))


def _info(info, matrix, *pivots):
    """LAPACK's `info`, or `NON_FINITE`: NaN and inf in the matrix end up in the pivots, or in none at all.

    Looking there afterwards saves a pass over all the entries where they are finite.
    """
    if info == 0 and all(np.isfinite(part).all() for part in pivots):
        return info
    H = matrix.entries()
    finite = is_finite(H.data if sparse.issparse(H) else H) and np.isfinite(matrix.shift)
    return info if finite else NON_FINITE


def _sparse_lu(matrix):
    H = matrix.entries()
    A = (H + matrix.shift * sparse.eye_array(matrix.n, dtype=H.dtype, format="csr")).tocsc()
    if not is_finite(A.data):
        return None, NON_FINITE
    try:
        return splu(A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1, options={"SymmetricMode": True}), 0
    except RuntimeError:  # "Factor is exactly singular"
        return None, 1


def is_finite(A):
    """Whether all entries of an array are finite, in one pass over it where they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = A.sum()
    return bool(np.isfinite(total)) or bool(np.isfinite(A).all())


SPARSE_CORE = (1.6, 0.64)
"""(a, b) of core / n = 1 - a / c^b for c neighbours a row, fitted to SuperLU's fill on pruned Gaussians
(n = 500 to 4000, c = 3 to 39, to within 0.05); matrices whose large entries gather in few rows fill less."""


def sparse_lu_core(n, nnz):
    """Order of the dense core that minimum degree leaves of a random pattern with `nnz` nonzeros."""
    neighbours = max(nnz / n - 1, 1.0)
    return n * max(0.0, 1 - SPARSE_CORE[0] / neighbours ** SPARSE_CORE[1])


def sparse_lu_flops(n, nnz):
    """Predicted operations of a sparse LU: 2/3 core^3, and 200 a nonzero for ordering and copies."""
    return 2 / 3 * sparse_lu_core(n, nnz) ** 3 + 200.0 * nnz
