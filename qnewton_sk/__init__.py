"""Neural networks for scikit-learn, fitted by Newton's method with the cheapest solver at every step."""

from qnewton_sk.autodiff import minimize
from qnewton_sk.conditioning import ConditionNumber, condition_number, oracle_sparsity, prune_symmetric
from qnewton_sk.curvature import AutoCurvature, Curvature, EmpiricalFisher, GaussNewton, Hessian
from qnewton_sk.estimators import QNewtonClassifier, QNewtonRegressor
from qnewton_sk.inference import evidence_score
from qnewton_sk.interop import from_mlp, register_onnx, to_mlp
from qnewton_sk.machine import REFERENCE_RATES, Rates, calibrate
from qnewton_sk.optimize import Direction, FixedStep, LineSearch, StepControl, Trial, TrustRegion
from qnewton_sk.quantum import (
    HARDWARE,
    QLSA,
    QuantumAssumptions,
    QuantumCost,
    QuantumHardware,
    logical_qubits,
    query_count,
)
from qnewton_sk.reports import (
    BreakEvenDisplay,
    HessianDisplay,
    LossCurveDisplay,
    RelevanceDisplay,
    ScheduleDisplay,
    UncertaintyDisplay,
)
from qnewton_sk.scheduling import (
    Backend,
    Decision,
    Scheduler,
    classical_backends,
    default_backends,
    quantum_backend,
)
from qnewton_sk.systems import (
    Block,
    CostEstimate,
    CostModel,
    LinearSystem,
    Solution,
    Solver,
    SolveStatus,
    SystemFacts,
    SystemMatrix,
    failure,
    solution_of,
)
from qnewton_sk.versions import __version__, show_versions

__all__ = [
    "AutoCurvature",
    "Backend",
    "Block",
    "BreakEvenDisplay",
    "ConditionNumber",
    "CostEstimate",
    "CostModel",
    "Curvature",
    "Decision",
    "Direction",
    "EmpiricalFisher",
    "FixedStep",
    "GaussNewton",
    "HARDWARE",
    "Hessian",
    "HessianDisplay",
    "LineSearch",
    "LinearSystem",
    "LossCurveDisplay",
    "QLSA",
    "QNewtonClassifier",
    "QNewtonRegressor",
    "QuantumAssumptions",
    "QuantumCost",
    "QuantumHardware",
    "REFERENCE_RATES",
    "Rates",
    "RelevanceDisplay",
    "ScheduleDisplay",
    "Scheduler",
    "Solution",
    "SolveStatus",
    "Solver",
    "StepControl",
    "SystemFacts",
    "SystemMatrix",
    "Trial",
    "TrustRegion",
    "UncertaintyDisplay",
    "calibrate",
    "classical_backends",
    "condition_number",
    "default_backends",
    "evidence_score",
    "failure",
    "from_mlp",
    "logical_qubits",
    "minimize",
    "oracle_sparsity",
    "prune_symmetric",
    "quantum_backend",
    "query_count",
    "register_onnx",
    "show_versions",
    "solution_of",
    "to_mlp",
]
