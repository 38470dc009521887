"""The quantum linear solver: its emulation, its query counts and what it costs."""

from .block_encoding import logical_qubits
from .cost import QuantumCost, quantum_cost_table
from .hardware import HARDWARE, QuantumHardware
from .qlsa import EXACT_TOL, QLSA
from .query_counts import query_count

__all__ = [
    "EXACT_TOL",
    "HARDWARE",
    "QLSA",
    "QuantumCost",
    "QuantumHardware",
    "logical_qubits",
    "quantum_cost_table",
    "query_count",
]
