"""A linear system, the facts that cost models see, and the block of parameters that it moves."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from .checks import is_int, must
from .system_matrix import SystemMatrix


@dataclass(frozen=True)
class SystemFacts:
    """Plain numbers about a system: all that a cost model may depend on, so that costs can be drawn over grids.

    Parameters
    ----------
    n : int
        Number of unknowns.
    kappa : float, default=None
        Condition number in the 2-norm; None if it was not measured.
    row_nonzeros : int, default=None
        Oracle sparsity d, the maximum number of entries that count in a row; by default n.
    kappa_kind : {"exact", "upper bound", "estimate"}, default="exact"
        What `kappa` is.
    norm : float, default=None
        Spectral norm of the matrix.
    max_abs : float, default=None
        Largest absolute entry.
    positive_definite : bool, default=None
        Whether the matrix is positive definite; None if it is not known.
    shift : float, default=0.0
        Multiple of the identity in the matrix.
    assembly_flops : float, default=0.0
        Floating-point operations still to be done before entries exist; 0 once they do.
    product_flops : float, default=None
        Floating-point operations of one product; by default 2 n^2.
    nnz : int, default=None
        Number of stored entries of a matrix held sparse; None if it is dense.
    rank : int, default=None
        Number of rows of G if the matrix is G.T @ G plus a diagonal.
    factor_flops : float, default=0.0
        Floating-point operations still to be done before G exists.
    single_flops : float, default=None
        Floating-point operations still to be done before entries in single precision exist; None if there is no
        such matrix.
    factorised : tuple of str, default=()
        Factorisations that exist already and cost nothing more.
    iterations : float, default=None
        Products that an iterative solve is expected to take; by default derived from kappa and tol.
    itemsize : int, default=8
        Bytes of one entry.
    radius : float, default=None
        Length that may bound the step in place of the shift; None if it may not.

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
        if not (is_int(self.n) and self.n >= 1):
            raise must("n", "be an int >= 1", self.n)
        if self.kappa is not None and not (isinstance(self.kappa, Real) and self.kappa >= 1):
            raise must("kappa", "be >= 1 (the ratio of largest to smallest singular value)", self.kappa)
        if self.row_nonzeros is None:
            object.__setattr__(self, "row_nonzeros", self.n)
        elif not (isinstance(self.row_nonzeros, Real) and 1 <= self.row_nonzeros <= self.n):
            raise must("row_nonzeros", f"be between 1 and n={self.n}", self.row_nonzeros)
        if self.product_flops is None:
            object.__setattr__(self, "product_flops", 2.0 * (self.n**2 if self.nnz is None else self.nnz))


@dataclass(frozen=True)
class LinearSystem:
    """One system A x = rhs, with the relative error allowed and the facts measured on it.

    Parameters
    ----------
    matrix : SystemMatrix
        A, its shift included.
    rhs : ndarray of shape (n,)
        Right-hand side.
    tol : float
        Relative error allowed in x.
    facts : SystemFacts
        What is known about A. Its `radius` and the shift of A are two ways to bound the same step: a solver with
        ``bounds_by = "radius"`` leaves the shift out and takes a step of that length.
    max_products : int, default=None
        Number of products after which a direct solver would have been cheaper.
    """

    matrix: SystemMatrix
    rhs: np.ndarray
    tol: float
    facts: SystemFacts
    max_products: int | None = None


class Block(NamedTuple):
    """One system of a step.

    Parameters
    ----------
    parameters : slice
        The parameters that the system moves.
    matrix : SystemMatrix
        Its matrix, without damping.
    acceleration : callable, default=None
        ``acceleration(v)`` is the right-hand side of a second solve that corrects a step v of Gauss-Newton for
        the curvature of the outputs along it.
    """

    parameters: slice
    matrix: SystemMatrix
    acceleration: Any = None
