"""Newton's method for any model written in autograd.numpy: `minimize`, its objective and its curvatures."""

from .curvatures import AutogradAuto, AutogradFisher, AutogradGaussNewton, AutogradHessian
from .faults import FunctionFault
from .first_order import WithFirstOrder
from .layout import Layout
from .objective import AutogradObjective, Problem
from .rows import sample_rows
from .run import minimize
from .tape import GivenLosses, Tape

__all__ = [
    "AutogradAuto",
    "AutogradFisher",
    "AutogradGaussNewton",
    "AutogradHessian",
    "AutogradObjective",
    "FunctionFault",
    "GivenLosses",
    "Layout",
    "Problem",
    "Tape",
    "WithFirstOrder",
    "minimize",
    "sample_rows",
]
