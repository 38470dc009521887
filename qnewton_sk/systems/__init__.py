"""Linear systems: the matrix, the facts about it, its factorisations, solvers and their costs."""

from .arrays import (
    euclidean_norm,
    is_finite,
    max_abs,
    power_of_two,
    scale_for,
    scale_of,
    symmetric_product,
)
from .checks import checked_symmetric, fault_of, is_bool, is_int, is_real, must
from .cost_estimate import CostEstimate, CostModel, FunctionCost, as_cost_model
from .factorisations import Factorisation, Inertia
from .linear_system import Block, LinearSystem, SystemFacts
from .solution import Solution, failure, relative_size, solution_of
from .solver import BOUNDS, NEEDS, Solver
from .sparse_lu import sparse_lu_core, sparse_lu_flops
from .status import SolveStatus
from .system_matrix import FACTORISATIONS, MatrixCache, SystemMatrix

__all__ = [
    "BOUNDS",
    "Block",
    "CostEstimate",
    "CostModel",
    "FACTORISATIONS",
    "Factorisation",
    "FunctionCost",
    "Inertia",
    "LinearSystem",
    "MatrixCache",
    "NEEDS",
    "Solution",
    "SolveStatus",
    "Solver",
    "SystemFacts",
    "SystemMatrix",
    "as_cost_model",
    "checked_symmetric",
    "failure",
    "fault_of",
    "is_bool",
    "is_finite",
    "is_int",
    "is_real",
    "must",
    "euclidean_norm",
    "max_abs",
    "power_of_two",
    "relative_size",
    "scale_for",
    "scale_of",
    "solution_of",
    "sparse_lu_core",
    "sparse_lu_flops",
    "symmetric_product",
]
