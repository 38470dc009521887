"""Tables and displays of a run."""

from .break_even import BreakEvenDisplay
from .displays import HessianDisplay, LossCurveDisplay
from .schedule import ScheduleDisplay
from .tables import compare_runs, modelled_total_seconds, step_table
from .tradeoffs import matrix_tradeoff, regularization_tradeoff, sparsity_tradeoff
from .uncertainty import RelevanceDisplay, UncertaintyDisplay

__all__ = [
    "BreakEvenDisplay",
    "HessianDisplay",
    "LossCurveDisplay",
    "RelevanceDisplay",
    "ScheduleDisplay",
    "UncertaintyDisplay",
    "compare_runs",
    "matrix_tradeoff",
    "modelled_total_seconds",
    "regularization_tradeoff",
    "sparsity_tradeoff",
    "step_table",
]
