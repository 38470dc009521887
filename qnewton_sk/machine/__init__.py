"""The machine: threads, memory, and the rates of linear algebra, shipped or measured."""

from .blas import available_threads, one_blas_thread
from .calibration import calibrate
from .memory import available_memory_bytes
from .rates import FLOPS, REFERENCE_RATES, Rates
from .threads import run_tasks, threads_for
from .workspace import NUMBER_FLOPS, workspaces_of

__all__ = [
    "FLOPS",
    "NUMBER_FLOPS",
    "REFERENCE_RATES",
    "Rates",
    "available_memory_bytes",
    "available_threads",
    "calibrate",
    "one_blas_thread",
    "run_tasks",
    "threads_for",
    "workspaces_of",
]
