"""Facts about a matrix before it is solved: condition number, spectrum, sparsity; and pruning."""

from .condition_number import ConditionNumber, as_estimator, condition_number
from .prepare import prepare
from .pruning import prune_symmetric
from .record import ConditionEstimator
from .sparsity import oracle_sparsity
from .spectrum import extreme_eigenvalues, inertia, spectral_density, spectrum_table
from .summary import EXACT_FLOPS, hessian_summary, sampled_row_sparsity

__all__ = [
    "EXACT_FLOPS",
    "hessian_summary",
    "sampled_row_sparsity",
    "ConditionEstimator",
    "ConditionNumber",
    "as_estimator",
    "condition_number",
    "extreme_eigenvalues",
    "inertia",
    "oracle_sparsity",
    "prepare",
    "prune_symmetric",
    "spectral_density",
    "spectrum_table",
]
