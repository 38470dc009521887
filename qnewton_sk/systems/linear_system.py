"""A linear system, the facts that cost models see, and the block of parameters that it moves."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .system_matrix import SystemMatrix


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


class Block(NamedTuple):
    """One system of a step: `parameters`, the slice of theta that it moves, and its `SystemMatrix`.

    ``acceleration(v)``, if there is one, is the right-hand side of a second solve that corrects a step v of
    Gauss-Newton for the curvature of the outputs along it.
    """

    parameters: slice
    matrix: SystemMatrix
    acceleration: Any = None
