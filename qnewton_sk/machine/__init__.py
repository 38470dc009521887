"""The machine: threads, memory, and the measured rates of its linear algebra."""

from .calibration import FLOPS, Calibration, calibrate
from .memory import available_memory_bytes
from .threads import all_blas_threads, available_threads, one_blas_thread, run_tasks, threads_for
from .workspace import NUMBER_FLOPS, workspaces_of

__all__ = [
    "Calibration",
    "FLOPS",
    "NUMBER_FLOPS",
    "all_blas_threads",
    "available_memory_bytes",
    "available_threads",
    "calibrate",
    "one_blas_thread",
    "run_tasks",
    "threads_for",
    "workspaces_of",
]
