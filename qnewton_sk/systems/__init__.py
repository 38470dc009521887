"""Linear systems: the matrix, the facts about it, its factorisations and its solution."""

from .cost_estimate import CostEstimate
from .factorisations import (
    NON_FINITE,
    Inertia,
    cholesky_factor,
    cholesky_solve,
    is_finite,
    ldl_eigenvalues_of_d,
    ldl_factor,
    ldl_inertia,
    ldl_solve,
    lu_factor,
    lu_solve,
    sparse_lu_core,
    sparse_lu_factor,
    sparse_lu_flops,
    sparse_lu_solve,
)
from .linear_system import Block, LinearSystem, SystemFacts
from .solution import Solution, SolveStatus, failure, finish
from .system_matrix import SystemMatrix, symmetric_product

__all__ = [
    "Block",
    "CostEstimate",
    "Inertia",
    "LinearSystem",
    "NON_FINITE",
    "Solution",
    "SolveStatus",
    "SystemFacts",
    "SystemMatrix",
    "cholesky_factor",
    "cholesky_solve",
    "failure",
    "finish",
    "is_finite",
    "ldl_eigenvalues_of_d",
    "ldl_factor",
    "ldl_inertia",
    "ldl_solve",
    "lu_factor",
    "lu_solve",
    "sparse_lu_core",
    "sparse_lu_factor",
    "sparse_lu_flops",
    "sparse_lu_solve",
    "symmetric_product",
]
