"""LU factorisation of matrices held sparse, and the prediction of its cost."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from .arrays import is_finite
from .factorisations import Factorisation, Inertia
from .status import SolveStatus

MAX_ONE_NORM_STEPS = 5
"""Steps of the 1-norm estimate, each two solves; more are hardly ever needed (Higham 1988, section 2)."""


class SparseLUFactorisation(Factorisation):
    """SuperLU of a matrix whose entries are a scipy.sparse array.

    The ordering is minimum degree on the symmetric pattern; pivots are taken from the diagonal unless they are small.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from qnewton_sk import SystemMatrix
    >>> matrix = SystemMatrix.from_entries(sparse.diags_array([1.0, -2.0], format="csr"))
    >>> matrix.factorisation("sparse_lu").inertia()
    Inertia(negative=1, zero=0, positive=1)
    """

    name = "sparse_lu"

    def __init__(self, factors, status):
        self.factors, self.status = factors, status

    @classmethod
    def flops(cls, matrix):
        """Return the predicted floating-point operations of `of`."""
        return sparse_lu_flops(matrix.n, matrix.entries().nnz)

    @classmethod
    def of(cls, matrix):
        """Return the factorisation of a `SystemMatrix` that is held sparse."""
        H = matrix.entries()
        A = (H + matrix.shift * sparse.eye_array(matrix.n, dtype=H.dtype, format="csr")).tocsc()
        if not is_finite(A.data):
            return cls(None, SolveStatus.NON_FINITE)
        settings = dict(permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1, options={"SymmetricMode": True})
        try:
            return cls(splu(A, **settings), SolveStatus.SUCCESS)
        except RuntimeError:  # "Factor is exactly singular"
            return cls(None, SolveStatus.SINGULAR)

    def solve(self, b):
        """Return x with A x = b, for b of shape (n,) or (n, k)."""
        return self.factors.solve(np.asarray(b, dtype=self.factors.L.dtype))

    def log_abs_determinant(self):
        """Return ln |det A|; the diagonal of L is one."""
        with np.errstate(divide="ignore"):
            return float(np.log(np.abs(self.factors.U.diagonal().astype(float))).sum())

    def inertia(self):
        """Return the `Inertia` of A if all pivots were taken from the diagonal, else None.

        Then U = D L^T, and the signs of D are those of the eigenvalues.
        """
        if not np.array_equal(self.factors.perm_r, self.factors.perm_c):
            return None
        return Inertia.of_signs(self.factors.U.diagonal())

    def reciprocal_condition(self, one_norm):
        """Return an estimate of 1 / (||A||_1 ||A^-1||_1).

        References
        ----------
        Hager (1984), Condition estimates, SIAM Journal on Scientific and Statistical Computing 5(2); Higham
        (1988), FORTRAN codes for estimating the one-norm, ACM Transactions on Mathematical Software 14(4).
        """
        n = self.factors.shape[0]
        x, inverse_norm = np.full(n, 1.0 / n), 0.0
        for _ in range(MAX_ONE_NORM_STEPS):
            y = self.solve(x)
            inverse_norm = max(inverse_norm, float(np.abs(y).sum()))
            z = self.solve(np.where(y >= 0, 1.0, -1.0))  # A is symmetric
            j = int(np.argmax(np.abs(z)))
            if np.abs(z[j]) <= z @ x:
                break
            x = np.zeros(n)
            x[j] = 1.0
        return 1.0 / (one_norm * inverse_norm) if one_norm * inverse_norm > 0 else 0.0


SPARSE_CORE = (1.6, 0.64)
"""(a, b) of core / n = 1 - a / c^b for c neighbours per row, fitted to SuperLU's fill on pruned Gaussians
(n = 500 to 4000, c = 3 to 39, to within 0.05); matrices whose large entries gather in few rows fill less."""


def sparse_lu_core(n, nnz):
    """Return the order of the dense core that minimum degree leaves of a random pattern with `nnz` nonzeros."""
    neighbours = max(nnz / n - 1, 1.0)
    return n * max(0.0, 1 - SPARSE_CORE[0] / neighbours ** SPARSE_CORE[1])


def sparse_lu_flops(n, nnz):
    """Return the predicted operations of a sparse LU: 2/3 core^3, and 200 per nonzero for ordering and copies."""
    return 2 / 3 * sparse_lu_core(n, nnz) ** 3 + 200.0 * nnz
