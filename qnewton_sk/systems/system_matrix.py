"""Records that travel between the stages of a step: matrices, facts about them, systems, solutions."""

import time

import numpy as np
from scipy import sparse
from scipy.linalg import blas

_SYMV = {np.dtype(np.float32): blas.ssymv, np.dtype(np.float64): blas.dsymv}


def symmetric_product(H, v):
    """Return H v for a symmetric matrix H; one triangle is read, which takes half the time of both.

    Parameters
    ----------
    H : ndarray or sparse array of shape (n, n)
        Symmetric.
    v : ndarray of shape (n,) or (n, k)
        One vector or several.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.systems.system_matrix import symmetric_product
    >>> symmetric_product(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 1.0]))
    array([3., 4.])
    """
    symv = _SYMV.get(H.dtype) if isinstance(H, np.ndarray) and v.ndim == 1 and v.dtype == H.dtype else None
    if symv is None or not (H.flags.c_contiguous and len(v)):
        return H @ v
    return symv(1.0, H.T, v, lower=1)  # the transpose is in Fortran order at no copy


class SystemMatrix:
    """The symmetric matrix A = H + shift I of one system: products at once, entries on demand.

    H answers products before it is assembled. Its entries are assembled at most once, and are shared by
    all the shifted copies, so that a retry with another damping never assembles again. Factorisations
    are kept for the shift that they belong to.

    Parameters
    ----------
    n : int
        Order of the matrix.
    assemble : callable, default=None
        ``assemble() -> H``, ndarray or scipy.sparse array of shape (n, n), exactly symmetric.
    product : callable, default=None
        ``product(v) -> H v`` for v of shape (n,), without assembling. By default H @ v.
    factor : callable, default=None
        ``factor() -> G`` of shape (rank, n) with H = G.T @ G + diag(factor_diagonal).
    rank : int, default=None
        Rows of G; needed with `factor`.
    factor_diagonal : ndarray of shape (n,) or float, default=0.0
        The nonnegative diagonal of H that G does not hold, such as the L2 penalty.
    semidefinite : bool, default=False
        Whether H is known from structure to be positive semidefinite.
    shift : float, default=0.0
        Multiple of the identity added to H.
    assembly_flops : float, default=0.0
        Floating-point operations of `assemble`.
    product_flops : float, default=None
        Floating-point operations of `product`; by default 2 n^2.
    factor_flops : float, default=0.0
        Floating-point operations of `factor`.
    single : callable, default=None
        ``single() -> SystemMatrix``, the same H in single precision.
    dtype : dtype, default=numpy.float64
        Of the entries and products.
    """

    def __init__(
        self,
        n,
        *,
        assemble=None,
        product=None,
        factor=None,
        rank=None,
        factor_diagonal=0.0,
        semidefinite=False,
        shift=0.0,
        assembly_flops=0.0,
        product_flops=None,
        factor_flops=0.0,
        single=None,
        dtype=np.float64,
    ):
        self.n = int(n)
        self.shift = float(shift)
        self.semidefinite = bool(semidefinite)
        self.rank = rank
        self.factor_diagonal = factor_diagonal
        self.dtype = np.dtype(dtype)
        self.assembly_flops = float(assembly_flops)
        self.factor_flops = float(factor_flops)
        self._product_flops = product_flops
        self._assemble, self._product, self._factor, self._single = assemble, product, factor, single
        self._shared = {}  # entries and factor of H, whatever the shift
        self._kept = {}  # what belongs to this shift alone

    @classmethod
    def from_entries(cls, H, *, shift=0.0, semidefinite=False):
        """Wrap an assembled symmetric matrix (ndarray or scipy.sparse) of shape (n, n)."""
        self = cls(H.shape[0], shift=shift, semidefinite=semidefinite, dtype=H.dtype)
        self._shared["entries"] = H
        return self

    def shifted(self, shift):
        """Return H + shift I; the entries of H stay shared and are not computed again."""
        other = object.__new__(SystemMatrix)
        other.__dict__.update(self.__dict__, shift=float(shift), _kept={})
        return other

    @property
    def assembled(self):
        """Whether the entries of H exist already."""
        return "entries" in self._shared

    @property
    def is_sparse(self):
        """Whether the entries are held as a scipy.sparse array."""
        return self.assembled and sparse.issparse(self._shared["entries"])

    @property
    def product_flops(self):
        """Floating-point operations of one product, by the cheaper way that exists now."""
        by_rule = self._product_flops
        if self.assembled:
            H = self._shared["entries"]
            stored = 2.0 * H.nnz if sparse.issparse(H) else 2.0 * self.n**2
            return stored if by_rule is None else min(stored, by_rule)
        return 2.0 * self.n**2 if by_rule is None else float(by_rule)

    def entries(self):
        """Return H without the shift, of shape (n, n); assembled at the first call. Do not write to it."""
        if "entries" not in self._shared:
            self._timed("entries", self._assemble)
        return self._shared["entries"]

    def _timed(self, name, compute):
        start = time.perf_counter()
        self._shared[name] = compute()
        self._shared["seconds"] = self._shared.get("seconds", 0.0) + time.perf_counter() - start

    @property
    def assembly_seconds(self):
        """Measured time spent so far on the entries and the factor of H, in either precision."""
        single = self._shared.get("single")
        return self._shared.get("seconds", 0.0) + (single.assembly_seconds if single else 0.0)

    @property
    def single_flops(self):
        """Operations left to be done, in single precision, for entries of `single`; None where there is none."""
        single = self._shared.get("single")
        if self.dtype != np.float64 or self.is_sparse or not (single or self._single or self.assembled):
            return None
        return 0.0 if self.assembled or (single and single.assembled) else self.assembly_flops

    def single(self):
        """Return H + shift I in single precision, a `SystemMatrix` whose entries are shared by all the shifts."""
        if "single" not in self._shared:
            rounded = self._single is None or self.assembled
            self._shared["single"] = (
                SystemMatrix.from_entries(self.entries().astype(np.float32), semidefinite=self.semidefinite)
                if rounded
                else self._single()
            )
        return self._shared["single"].shifted(self.shift)

    def dense(self):
        """Return a new dense array H + shift I of shape (n, n), free to be overwritten."""
        H = self.entries()
        A = H.toarray() if sparse.issparse(H) else H.copy()
        if self.shift:
            A.reshape(-1)[:: self.n + 1] += self.shift
        return A

    def product(self, v):
        """Return (H + shift I) v for v of shape (n,)."""
        rule_is_dearer = self.assembled and (
            self._product_flops is None or self._product_flops > self.product_flops
        )
        by_entries = self._product is None or rule_is_dearer
        Hv = symmetric_product(self.entries(), v) if by_entries else self._product(v)
        return Hv + self.shift * v if self.shift else Hv

    def factor(self):
        """Return G of shape (rank, n) with H = G.T @ G + diag(factor_diagonal), or None."""
        if self._factor is None:
            return None
        if "factor" not in self._shared:
            self._timed("factor", self._factor)
        return self._shared["factor"]

    @property
    def factored(self):
        """Whether `factor` has been computed."""
        return "factor" in self._shared

    def cached(self, name, compute):
        """Return what is kept under `name` for this shift, computing it the first time.

        Names of factorisations are "lu", "cholesky" and "ldl"; whoever pays first, all others use it.
        """
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    def shared(self, name, compute):
        """Return what is kept under `name` for H whatever the shift, computing it the first time."""
        if name not in self._shared:
            self._shared[name] = compute()
        return self._shared[name]

    @property
    def kept(self):
        """Names of what has been computed for this shift, such as factorisations."""
        return tuple(self._kept)
