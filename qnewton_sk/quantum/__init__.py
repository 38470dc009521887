"""The quantum linear solver: its emulation, its query counts and what it costs."""

from .assumptions import ASSUMPTIONS, QuantumAssumptions
from .block_encoding import logical_qubits
from .cost import QuantumCost, QuantumResources, quantum_cost_table
from .hardware import HARDWARE, QuantumHardware
from .qlsa import EXACT_TOL, QLSA
from .query_counts import query_count

__all__ = [
    "ASSUMPTIONS",
    "EXACT_TOL",
    "HARDWARE",
    "QLSA",
    "QuantumAssumptions",
    "QuantumCost",
    "QuantumHardware",
    "QuantumResources",
    "logical_qubits",
    "quantum_cost_table",
    "query_count",
]
