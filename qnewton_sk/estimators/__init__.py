"""The two estimators: check what a user passes, run the loop, keep what it found."""

from .classifier import QNewtonClassifier
from .fitting import entries_needed_by, loop_of
from .regressor import QNewtonRegressor
from .validation import check_parameters

__all__ = ["QNewtonClassifier", "QNewtonRegressor", "check_parameters", "entries_needed_by", "loop_of"]
