"""Records that travel between the stages of a step: matrices, facts about them, systems, solutions."""

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import blas


class SolveStatus(str, Enum):
    """How a linear solve ended; a value, never an exception.

    Attributes
    ----------
    advice : str
        What a user can do about it; empty for a success.
    """

    SUCCESS = "success"
    INACCURATE = "inaccurate"
    SINGULAR = "singular"
    NOT_POSITIVE_DEFINITE = "not_positive_definite"
    NEGATIVE_CURVATURE = "negative_curvature"
    MAX_ITERATIONS = "max_iterations"
    NON_FINITE = "non_finite"
    FAILED = "failed"

    __str__ = str.__str__

    @property
    def advice(self):
        """One sentence with the remedy."""
        return _ADVICE[self]

    @property
    def usable(self):
        """Whether the solution may serve as a direction of descent."""
        return self in _USABLE


_ADVICE = {
    SolveStatus.SUCCESS: "",
    SolveStatus.INACCURATE: "Raise `regularization` or ask for a larger solver tolerance.",
    SolveStatus.SINGULAR: "Raise `regularization`.",
    SolveStatus.NOT_POSITIVE_DEFINITE: "Raise `regularization`, use curvature='gauss_newton' or "
    "step_control='trust_region'.",
    SolveStatus.NEGATIVE_CURVATURE: "Use step_control='trust_region' or curvature='gauss_newton'.",
    SolveStatus.MAX_ITERATIONS: "Raise `regularization`, or use a direct solver.",
    SolveStatus.NON_FINITE: "Scale the inputs (StandardScaler), lower `learning_rate_init` or raise `alpha`.",
    SolveStatus.FAILED: "Use another backend.",
}
_USABLE = frozenset(
    {
        SolveStatus.SUCCESS,
        SolveStatus.INACCURATE,
        SolveStatus.MAX_ITERATIONS,
        SolveStatus.NEGATIVE_CURVATURE,
    }
)


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
    >>> from qnewton_sk.system import symmetric_product
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


@dataclass(frozen=True)
class SystemFacts:
    """What a cost model may know about a system; plain numbers, so that costs can be drawn over grids.

    Parameters
    ----------
    n : int
        Number of unknowns.
    kappa : float, default=None
        Condition number in the 2-norm; None where it was not measured.
    row_nonzeros : int, default=None
        Oracle sparsity d, the most entries that any row counts; by default n.
    kappa_kind : {"exact", "upper bound", "estimate"}, default="exact"
        What `kappa` is.
    norm : float, default=None
        Spectral norm of the matrix.
    max_abs : float, default=None
        Largest absolute entry.
    positive_definite : bool, default=None
        True or False where it is known; None where it is not.
    shift : float, default=0.0
        Multiple of the identity that the matrix holds.
    assembly_flops : float, default=0.0
        Floating-point operations still to be done before entries exist; 0 once they do.
    product_flops : float, default=None
        Floating-point operations of one product; by default 2 n^2.
    nnz : int, default=None
        Stored entries where the matrix is held sparse; None where it is dense.
    rank : int, default=None
        Rows of the factor G where the matrix is G.T @ G plus a diagonal.
    factor_flops : float, default=0.0
        Floating-point operations still to be done before G exists.
    single_flops : float, default=None
        Floating-point operations still to be done before entries in single precision exist; None where there is no
        such matrix.
    factorised : tuple of str, default=()
        Factorisations that exist already and cost nothing more.
    iterations : float, default=None
        Products that an iterative solve is expected to take; by default derived from kappa and tol.
    itemsize : int, default=8
        Bytes of one entry.
    radius : float, default=None
        Length at which the step may be cut instead of being damped by the shift; None where it may not.

    Examples
    --------
    >>> from qnewton_sk import SystemFacts
    >>> SystemFacts(n=1000, kappa=100.0).row_nonzeros
    1000
    """

    n: int
    kappa: float | None = None
    row_nonzeros: int | None = None
    kappa_kind: str = "exact"
    norm: float | None = None
    max_abs: float | None = None
    positive_definite: bool | None = None
    shift: float = 0.0
    assembly_flops: float = 0.0
    product_flops: float | None = None
    nnz: int | None = None
    rank: int | None = None
    factor_flops: float = 0.0
    single_flops: float | None = None
    factorised: tuple = ()
    iterations: float | None = None
    itemsize: int = 8
    radius: float | None = None

    def __post_init__(self):
        if not self.n >= 1:
            raise ValueError(f"`n` must be an int >= 1; got {self.n!r}")
        if self.kappa is not None and not self.kappa >= 1:
            raise ValueError(
                f"`kappa` must be >= 1 (the ratio of largest to smallest singular value); got {self.kappa!r}"
            )
        if self.row_nonzeros is None:
            object.__setattr__(self, "row_nonzeros", self.n)
        elif not 1 <= self.row_nonzeros <= self.n:
            raise ValueError(f"`row_nonzeros` must be between 1 and n={self.n}; got {self.row_nonzeros!r}")
        if self.product_flops is None:
            object.__setattr__(self, "product_flops", 2.0 * (self.n**2 if self.nnz is None else self.nnz))


@dataclass(frozen=True)
class LinearSystem:
    """One system A x = rhs to be solved to the relative error `tol`, with the facts measured on it.

    `matrix` is a `SystemMatrix`, `rhs` has shape (n,). The shift of A and the `radius` are two ways to bound
    the same step: a direct solver takes the shift; an iterative one may instead leave the shift out and stop
    where ||x|| reaches `facts.radius`. After `max_products` products a direct solver would have been cheaper.
    """

    matrix: SystemMatrix
    rhs: np.ndarray
    tol: float
    facts: SystemFacts
    max_products: int | None = None


@dataclass(frozen=True)
class Solution:
    """What a solver returns: x of shape (n,), how it ended, ||A x - rhs|| / ||rhs||, and details.

    `image` is A x where the solver knows it (each needs it for the residual), else None.
    """

    x: np.ndarray
    status: SolveStatus
    relative_residual: float
    info: dict[str, Any] = field(default_factory=dict)
    image: np.ndarray | None = None


class Direction(NamedTuple):
    """Where a step may go.

    That is x of shape (n_params,), the decrease that the undamped model promises, and the shift that belongs to
    x, None where it was the system's own.
    """

    x: np.ndarray
    predicted: float
    shift: float | None = None


class Block(NamedTuple):
    """One system of a step: `part`, the slice of theta that it moves, and its `SystemMatrix`.

    ``acceleration(v)``, where there is one, is the right-hand side of a second solve that corrects a step v of
    Gauss-Newton for the bend of the outputs along it.
    """

    part: slice
    matrix: SystemMatrix
    acceleration: Any = None
