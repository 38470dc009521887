"""Bayesian inference by the Laplace approximation: penalties found by the evidence, and the posterior."""

from .evidence import EvidenceLoop
from .groups import Groups, penalty_groups
from .laplace import Laplace, Penalties, laplace
from .precision import DensePrecision, LowRankPrecision
from .search import Evidence, objective_alpha
from .starts import natural_penalties

__all__ = ["DensePrecision", "Groups", "Laplace", "LowRankPrecision", "Penalties", "laplace", "penalty_groups"]
