"""The memory that is available to this process, and the memory that the steps of a fit need."""

import os

MATRIX_COPIES = 2.5
"""Number of arrays of size N^2 alive in a direct solve: the entries, the copy that is factorised, work space."""

VECTOR_COPIES = 16
"""Number of vectors of length N alive in a step: parameters, gradients, conjugate gradients, trial points, passes."""

ALWAYS_AVAILABLE_BYTES = 2**28
"""Memory that every machine is assumed to have, which spares small fits the look-up."""


def step_bytes(n_params: int, order: int, itemsize: int, *, has_entries: bool) -> tuple[int, int]:
    """Return the bytes of the vectors of a step, and those of its matrix (0 without entries).

    Parameters
    ----------
    n_params : int
        Number of parameters.
    order : int
        Order of the largest linear system.
    itemsize : int
        Bytes of a number.
    has_entries : bool
        Whether the entries of the matrix are needed.
    """
    matrix = int(MATRIX_COPIES * order**2 * itemsize) if has_entries else 0
    return int(VECTOR_COPIES * n_params * itemsize), matrix


def gibibytes(n_bytes: float) -> str:
    """Return a number of bytes as text in GiB."""
    return f"{n_bytes / 2**30:,.1f} GiB"


def available_memory_bytes():
    """Return the bytes of memory available for new arrays; infinity if the system does not report it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return float("inf")
