"""What every estimator computes of a `SystemMatrix`: products with blocks of vectors, norms, a new factorisation."""

import math

import numpy as np
from scipy import sparse

from qnewton_sk.systems import FACTORISATIONS, SolveStatus, max_abs, scale_for, symmetric_product

SUPERLU_SLOWDOWN = 6.0
"""Rate of a dense L D L^T over that of SuperLU, per operation (measured, n = 2000 to 4000)."""


def working_dtype(dtype):
    """Return float32 for float32 and float64 for everything else."""
    return np.float32 if dtype == np.float32 else np.float64


def block_product(matrix):
    """Return the function V -> A V for V of shape (n, k) of a `SystemMatrix`, which is never assembled for it.

    It is one product of matrices if the entries exist.
    """
    if not matrix.assembled:
        return lambda V: np.stack([matrix.product(v) for v in V.T], axis=1)
    H, shift = matrix.entries(), matrix.shift

    def product(V):
        HV = symmetric_product(H, np.ascontiguousarray(V[:, 0]))[:, None] if V.shape[1] == 1 else H @ V
        return HV + shift * V if shift else HV

    return product


def frobenius_norm(matrix):
    """Return ||A||_F of a `SystemMatrix`, whose entries are assembled if they are not."""
    H = matrix.entries()
    data = H.data if sparse.issparse(H) else H
    unit = scale_for(max(max_abs(data), abs(matrix.shift)), data.size, data.dtype)
    data, shift = data / unit if unit != 1.0 else data, matrix.shift / unit
    diagonal_sum = float((H.diagonal() / unit).sum(dtype=float))
    squares = float(np.vdot(data, data)) + 2 * shift * diagonal_sum + matrix.n * shift**2
    return unit * math.sqrt(max(squares, 0.0))


def one_norm(matrix):
    """Return ||A||_1, the largest absolute column sum, of a `SystemMatrix`."""
    H, shift = matrix.entries(), matrix.shift
    diagonal = H.diagonal()
    sums = np.asarray(abs(H).sum(axis=0)).ravel()
    return float((sums - np.abs(diagonal) + np.abs(diagonal + shift)).max())


def diagonal_sum(matrix):
    """Return the trace of a `SystemMatrix` from its entries."""
    return float(matrix.entries().diagonal().sum(dtype=float)) + matrix.n * matrix.shift


def factorised(matrix, otherwise="ldl", allow_sparse=True):
    """Return a factorisation of A and the operations spent on it; one that exists is taken before a new one.

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
