"""The two estimators: check what a user passes, run the loop, keep what it found."""

from .base import fitted_network
from .classifier import QNewtonClassifier
from .regressor import QNewtonRegressor
from .results import fitted_like
from .validation import ABSENT_FROM_HERE

__all__ = ["ABSENT_FROM_HERE", "QNewtonClassifier", "QNewtonRegressor", "fitted_like", "fitted_network"]
