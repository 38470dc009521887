"""The symmetric matrix of a system: products at once, entries on demand, and a cache of what has been computed."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse
from sklearn.utils import gen_batches

from .arrays import max_abs, scale_for, symmetric_product
from .checks import checked_symmetric, fault_of
from .factorisations import CholeskyFactorisation, LDLFactorisation, LUFactorisation
from .sparse_lu import SparseLUFactorisation

Array = NDArray[Any]

FACTORISATIONS = {
    kind.name: kind
    for kind in (CholeskyFactorisation, LDLFactorisation, LUFactorisation, SparseLUFactorisation)
}
"""Kinds of factorisation by name; of several that exist, the first here is the cheapest to solve with."""

SLICE_ROWS = 256
"""Rows of a dense matrix whose absolute values are formed at once."""

MAKER = "the functions of a SystemMatrix, which the `curvature` of a fit has made"
"""What is at fault if entries, a factor or a product cannot be computed."""


class MatrixCache:
    """What has been computed of one matrix H so far, whatever the shift; all its shifted copies share it.

    Attributes
    ----------
    entries : ndarray, scipy.sparse array or None
        H, once it is assembled.
    factor : ndarray or None
        G, once it is computed.
    single : SystemMatrix or None
        H in single precision, once it was asked for.
    seconds : float
        Measured time spent on the entries and the factor.
    results : dict
        What solvers and pruning keep under names of their own. Nothing in it may refer to a `SystemMatrix` that
        shares this cache: such a cycle would keep the arrays until Python's cyclic collector runs.
    """

    def __init__(self) -> None:
        self.entries: Any = None
        self.factor: Array | None = None
        self.single: SystemMatrix | None = None
        self.seconds = 0.0
        self.results: dict[Any, Any] = {}

    def timed(self, compute: Callable[[], Any]) -> Any:
        """Return what `compute` returns and count the time that it takes."""
        start = time.perf_counter()
        with fault_of(MAKER):
            result = compute()
        self.seconds += time.perf_counter() - start
        return result


class SystemMatrix:
    """The symmetric matrix A = H + shift I of one system.

    H answers products before it is assembled. Its entries are assembled at most once and shared by all the
    shifted copies, so that a retry with another damping never assembles again. A factorisation is kept for the
    shift to which it belongs, and used by every solver and estimator that comes later.

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
        Number of rows of G; needed with `factor`.
    factor_diagonal : ndarray of shape (n,) or float, default=0.0
        The nonnegative diagonal of H that G does not hold, such as the L2 penalty.
    semidefinite : bool, default=False
        Whether H is known by its structure to be positive semidefinite.
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

    Attributes
    ----------
    cache : MatrixCache
        What has been computed of H, shared by all shifts.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import SystemMatrix
    >>> H = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> matrix = SystemMatrix(2, assemble=lambda: H, product=lambda v: H @ v)
    >>> matrix.shifted(1.0).product(np.ones(2)), matrix.assembled
    (array([4., 5.]), False)
    """

    def __init__(
        self,
        n: int,
        *,
        assemble: Callable[[], Any] | None = None,
        product: Callable[[Array], Array] | None = None,
        factor: Callable[[], Array] | None = None,
        rank: int | None = None,
        factor_diagonal: Any = 0.0,
        semidefinite: bool = False,
        shift: float = 0.0,
        assembly_flops: float = 0.0,
        product_flops: float | None = None,
        factor_flops: float = 0.0,
        single: Callable[[], "SystemMatrix"] | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
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
        self.cache = MatrixCache()
        self._factorisations: dict[str, Any] = {}  # only of this shift, like the next
        self._single_here: SystemMatrix | None = None

    @classmethod
    def from_entries(
        cls, H: Any, *, shift: float = 0.0, semidefinite: bool = False, check: bool = True
    ) -> "SystemMatrix":
        """Wrap an assembled symmetric matrix.

        Parameters
        ----------
        H : ndarray or scipy.sparse array of shape (n, n)
            Symmetric to within sqrt(machine epsilon) times its largest entry.
        shift : float, default=0.0
            Multiple of the identity to add.
        semidefinite : bool, default=False
            Whether H is known to be positive semidefinite.
        check : bool, default=True
            Whether to check H; False if it is known to be an exactly symmetric ndarray or csr_array.

        Raises
        ------
        ValueError
            If H is not a real symmetric matrix. NaN and inf are taken: the solvers report them by a status.
        """
        H = checked_symmetric(H, finite=False) if check else H
        self = cls(H.shape[0], shift=shift, semidefinite=semidefinite, dtype=H.dtype)
        self.cache.entries = H
        return self

    def shifted(self, shift: float) -> "SystemMatrix":
        """Return H + shift I; the entries of H stay shared and are not computed again."""
        other = object.__new__(SystemMatrix)
        other.__dict__.update(self.__dict__, shift=float(shift), _factorisations={}, _single_here=None)
        return other

    @property
    def assembled(self) -> bool:
        """Whether the entries of H exist already."""
        return self.cache.entries is not None

    @property
    def is_sparse(self) -> bool:
        """Whether the entries are held as a scipy.sparse array."""
        return sparse.issparse(self.cache.entries)

    @property
    def product_flops(self) -> float:
        """Floating-point operations of one product, by the cheaper way that exists now."""
        by_rule = self._product_flops
        if not self.assembled:
            return 2.0 * self.n**2 if by_rule is None else float(by_rule)
        stored = 2.0 * self.cache.entries.nnz if self.is_sparse else 2.0 * self.n**2
        return stored if by_rule is None else min(stored, by_rule)

    def entries(self) -> Any:
        """Return H without the shift, of shape (n, n); assembled at the first call. Do not write to it."""
        if self.cache.entries is None:
            assert self._assemble is not None  # a matrix without entries has a rule for them
            self.cache.entries = self.cache.timed(self._assemble)
        return self.cache.entries

    @property
    def assembly_seconds(self) -> float:
        """Measured time spent so far on the entries and the factor of H, in either precision."""
        single = self.cache.single
        return self.cache.seconds + (0.0 if single is None else single.assembly_seconds)

    @property
    def single_flops(self) -> float | None:
        """Operations left to be done, in single precision, for entries of `single`; None if there is no such matrix."""
        single = self.cache.single
        possible = single is not None or self._single is not None or self.assembled
        if self.dtype != np.float64 or self.is_sparse or not possible:
            return None
        done = self.assembled or (single is not None and single.assembled)
        return 0.0 if done else self.assembly_flops

    def single(self) -> "SystemMatrix":
        """Return H + shift I in single precision, a `SystemMatrix` whose entries are shared by all the shifts."""
        if self._single_here is None:
            single = self.cache.single
            if single is None:
                single = self.cache.single = self._new_single()
            self._single_here = single.shifted(self.shift)
        return self._single_here

    def _new_single(self) -> "SystemMatrix":
        if self._single is not None and not self.assembled:
            return self._single()
        H = self.entries().astype(np.float32)
        return SystemMatrix.from_entries(H, semidefinite=self.semidefinite, check=False)

    def dense(self) -> Array:
        """Return a new dense array H + shift I of shape (n, n), free to be overwritten."""
        H = self.entries()
        A = H.toarray() if sparse.issparse(H) else H.copy()
        if self.shift:
            A.reshape(-1)[:: self.n + 1] += self.shift
        return A

    def product(self, v: Array) -> Array:
        """Return (H + shift I) v for v of shape (n,)."""
        rule_costs_more = self.assembled and (
            self._product_flops is None or self._product_flops > self.product_flops
        )
        if self._product is None or rule_costs_more:
            Hv = symmetric_product(self.entries(), v)
        else:
            with fault_of(MAKER):
                Hv = self._product(v)
        return Hv + self.shift * v if self.shift else Hv

    def block_product(self) -> Callable[[Array], Array]:
        """Return the function V -> A V for V of shape (n, k): one product of matrices if the entries exist."""
        if not self.assembled:
            return lambda V: np.stack([self.product(v) for v in V.T], axis=1)
        H, shift = self.entries(), self.shift

        def product(V):
            HV = symmetric_product(H, np.ascontiguousarray(V[:, 0]))[:, None] if V.shape[1] == 1 else H @ V
            return HV + shift * V if shift else HV

        return product

    def trace(self) -> float:
        """Return the sum of the diagonal of A."""
        return float(self.entries().diagonal().sum(dtype=float)) + self.n * self.shift

    def frobenius_norm(self) -> float:
        """Return ||A||_F; no square overflows or underflows."""
        H = self.entries()
        data = H.data if sparse.issparse(H) else H
        unit = scale_for(max(max_abs(data), abs(self.shift)), data.size, data.dtype)
        data, shift = data / unit if unit != 1.0 else data, self.shift / unit
        diagonal_sum = float((H.diagonal() / unit).sum(dtype=float))
        squares = float(np.vdot(data, data)) + 2 * shift * diagonal_sum + self.n * shift**2
        return unit * math.sqrt(max(squares, 0.0))

    def max_abs(self) -> float:
        """Return the largest absolute entry of H without the shift.

        A positive semidefinite matrix has it on its diagonal, which a factor of few rows gives without the entries.
        """
        if self.assembled or self.rank is None or self.rank >= self.n:
            return float(abs(self.entries()).max())
        G = self.factor()
        return float((np.einsum("mk,mk->k", G, G) + self.factor_diagonal).max())

    def one_norm(self) -> float:
        """Return ||A||_1, the largest absolute column sum."""
        H = self.entries()
        diagonal = H.diagonal()
        if isinstance(H, np.ndarray):  # symmetric: rows in slices take no memory of the size of H
            sums = np.concatenate([np.abs(H[rows]).sum(axis=1) for rows in gen_batches(self.n, SLICE_ROWS)])
        else:
            sums = np.asarray(abs(H).sum(axis=0)).ravel()
        return float((sums - np.abs(diagonal) + np.abs(diagonal + self.shift)).max())

    def factor(self) -> Any:
        """Return G of shape (rank, n) with H = G.T @ G + diag(factor_diagonal), or None."""
        if self._factor is not None and self.cache.factor is None:
            self.cache.factor = self.cache.timed(self._factor)
        return self.cache.factor

    @property
    def factored(self) -> bool:
        """Whether `factor` has been computed."""
        return self.cache.factor is not None

    def factorisation(self, name: str) -> Any:
        """Return the factorisation of A under a name, computed at the first call and kept for this shift.

        Parameters
        ----------
        name : {"cholesky", "ldl", "lu", "sparse_lu"}
            The last one takes a matrix that is held sparse.

        Returns
        -------
        Factorisation
            Its `status` tells whether it can be used.
        """
        if name not in self._factorisations:
            self._factorisations[name] = FACTORISATIONS[name].of(self)
        return self._factorisations[name]

    @property
    def factorised(self) -> tuple[str, ...]:
        """Names of the factorisations that exist for this shift; with "_single" those in single precision."""
        single: tuple[str, ...] = () if self._single_here is None else self._single_here.factorised
        return (*self._factorisations, *(f"{name}_single" for name in single))

    def shared(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return what is kept under `name` for H whatever the shift, computing it the first time.

        The result must not refer to this matrix (see `MatrixCache`).
        """
        if name not in self.cache.results:
            self.cache.results[name] = compute()
        return self.cache.results[name]
