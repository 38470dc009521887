"""The two estimators: check what a user passes, run the loop, keep what it found."""

from .base import fitted_network
from .classifier import QNewtonClassifier
from .regressor import QNewtonRegressor

__all__ = ["QNewtonClassifier", "QNewtonRegressor", "fitted_network"]
