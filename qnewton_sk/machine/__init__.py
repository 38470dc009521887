"""The machine: threads, memory, and the rates of linear algebra, shipped or measured."""

from .blas import available_threads, one_blas_thread
from .calibration import calibrate
from .memory import ALWAYS_AVAILABLE_BYTES, available_memory_bytes, gibibytes, step_bytes
from .rates import FLOPS, REFERENCE_RATES, Rates
from .slices import even_slices
from .threads import run_tasks, threads_for
from .workspace import NUMBER_FLOPS, Workspace, workspaces_of

__all__ = [
    "ALWAYS_AVAILABLE_BYTES",
    "FLOPS",
    "NUMBER_FLOPS",
    "REFERENCE_RATES",
    "Rates",
    "Workspace",
    "available_memory_bytes",
    "available_threads",
    "calibrate",
    "even_slices",
    "gibibytes",
    "one_blas_thread",
    "run_tasks",
    "step_bytes",
    "threads_for",
    "workspaces_of",
]
