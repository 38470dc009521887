"""Classical solvers of one linear system, each with the model of its cost."""

from .conjugate_gradients import CG, CGCost
from .dense import LDL, LU, Cholesky, DirectCost
from .krylov import kept_path
from .single_precision import SinglePrecision, SinglePrecisionCost
from .sparse import SparseCG, SparseCGCost, SparseLU, SparseLUCost
from .trust_region import MoreSorensen, MoreSorensenCost
from .woodbury import Woodbury, WoodburyCost

__all__ = [
    "CG",
    "CGCost",
    "Cholesky",
    "DirectCost",
    "LDL",
    "LU",
    "MoreSorensen",
    "MoreSorensenCost",
    "SinglePrecision",
    "SinglePrecisionCost",
    "SparseCG",
    "SparseCGCost",
    "SparseLU",
    "SparseLUCost",
    "Woodbury",
    "WoodburyCost",
    "kept_path",
]
