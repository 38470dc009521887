"""Linear systems: the matrix, the facts about it, its factorisations and its solution."""

from .cost_estimate import CostEstimate, CostModel, FunctionCost, as_cost_model
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
from .solution import Solution, SolveStatus, failure, relative_size, solution_of
from .solver import BOUNDS, NEEDS, Solver
from .system_matrix import SystemMatrix, symmetric_product

__all__ = [
    "BOUNDS",
    "Block",
    "CostEstimate",
    "CostModel",
    "FunctionCost",
    "Inertia",
    "LinearSystem",
    "NEEDS",
    "NON_FINITE",
    "Solution",
    "SolveStatus",
    "Solver",
    "SystemFacts",
    "SystemMatrix",
    "as_cost_model",
    "cholesky_factor",
    "cholesky_solve",
    "failure",
    "is_finite",
    "ldl_eigenvalues_of_d",
    "ldl_factor",
    "ldl_inertia",
    "ldl_solve",
    "lu_factor",
    "lu_solve",
    "relative_size",
    "solution_of",
    "sparse_lu_core",
    "sparse_lu_factor",
    "sparse_lu_flops",
    "sparse_lu_solve",
    "symmetric_product",
]
