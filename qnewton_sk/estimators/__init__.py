"""The two estimators: check what a user passes, run the loop, keep what it found."""

from .classifier import QNewtonClassifier
from .fitting import entries_needed_by, loop_of
from .regressor import QNewtonRegressor
from .results import fitted_like, fitted_network
from .validation import ABSENT_FROM_HERE, check_parameters

__all__ = [
    "ABSENT_FROM_HERE",
    "QNewtonClassifier",
    "QNewtonRegressor",
    "check_parameters",
    "entries_needed_by",
    "fitted_like",
    "fitted_network",
    "loop_of",
]
