"""Neural networks for scikit-learn, fitted by Newton's method with the cheapest solver at every step."""

from .condition_number import condition_number
from .diagnostics import HessianDisplay, LossCurveDisplay, ScheduleDisplay
from .estimators import QNewtonClassifier, QNewtonRegressor
from .quantum_costs import QuantumCost, logical_qubits
from .quantum_hardware import HARDWARE, QuantumHardware
from .query_counts import query_count
from .scheduler import Backend, Scheduler
from .sparsity import oracle_sparsity, prune_symmetric
from .system import SystemFacts
from .versions import __version__, show_versions

__all__ = [
    "HARDWARE",
    "Backend",
    "HessianDisplay",
    "LossCurveDisplay",
    "QNewtonClassifier",
    "QNewtonRegressor",
    "QuantumCost",
    "QuantumHardware",
    "ScheduleDisplay",
    "Scheduler",
    "SystemFacts",
    "condition_number",
    "logical_qubits",
    "oracle_sparsity",
    "prune_symmetric",
    "query_count",
    "show_versions",
]
