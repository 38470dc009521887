"""Neural networks for scikit-learn, fitted by Newton's method with the cheapest solver at every step."""

from qnewton_sk.conditioning import condition_number, oracle_sparsity, prune_symmetric
from qnewton_sk.estimators import QNewtonClassifier, QNewtonRegressor
from qnewton_sk.quantum import HARDWARE, QuantumCost, QuantumHardware, logical_qubits, query_count
from qnewton_sk.reports import HessianDisplay, LossCurveDisplay, ScheduleDisplay
from qnewton_sk.scheduling import Backend, Scheduler
from qnewton_sk.systems import SystemFacts
from qnewton_sk.versions import __version__, show_versions

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
