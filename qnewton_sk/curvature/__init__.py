"""The curvature of an objective: exact Hessian, Gauss-Newton, empirical Fisher."""

from .auto import AutoCurvature
from .base import Curvature
from .low_rank import jacobian_rows
from .matrices import CURVATURES, EmpiricalFisher, GaussNewton, Hessian, resolve_curvature

__all__ = [
    "AutoCurvature",
    "Curvature",
    "CURVATURES",
    "EmpiricalFisher",
    "GaussNewton",
    "Hessian",
    "jacobian_rows",
    "resolve_curvature",
]
