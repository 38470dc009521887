"""Bayesian inference by the Laplace approximation: penalties found by the evidence, and the posterior."""

from .evidence import EvidenceLoop
from .groups import Groups, penalty_groups
from .laplace import Laplace, Local, Penalties, laplace
from .posterior import KINDS, Posterior, posterior_bytes, posterior_of
from .precision import DensePrecision, LowRankPrecision
from .predictive import averaged_logits, evidence_score, sampled, standard_deviation
from .scales import natural_penalties
from .search import Evidence, objective_alpha

__all__ = [
    "DensePrecision",
    "Evidence",
    "EvidenceLoop",
    "Groups",
    "KINDS",
    "Laplace",
    "Local",
    "LowRankPrecision",
    "Penalties",
    "Posterior",
    "averaged_logits",
    "evidence_score",
    "laplace",
    "natural_penalties",
    "objective_alpha",
    "penalty_groups",
    "posterior_bytes",
    "posterior_of",
    "sampled",
    "standard_deviation",
]
