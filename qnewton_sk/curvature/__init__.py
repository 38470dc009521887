"""The curvature of an objective: exact Hessian, Gauss-Newton, empirical Fisher."""

from .assembly import assembly_flops
from .auto import (
    MAX_STEP_COST,
    AutoCurvature,
    AutoState,
    gauss_newton_step_cost,
    gradient_flops,
    newton_step_cost,
    start_of,
)
from .base import Curvature
from .low_rank import LayerRows, curvature_rank, jacobian_factors, jacobian_rows
from .matrices import CURVATURES, EmpiricalFisher, GaussNewton, Hessian, resolve_curvature

__all__ = [
    "assembly_flops",
    "curvature_rank",
    "gauss_newton_step_cost",
    "gradient_flops",
    "newton_step_cost",
    "AutoCurvature",
    "AutoState",
    "Curvature",
    "CURVATURES",
    "EmpiricalFisher",
    "GaussNewton",
    "Hessian",
    "LayerRows",
    "MAX_STEP_COST",
    "jacobian_factors",
    "jacobian_rows",
    "resolve_curvature",
    "start_of",
]
