"""Measurement of this machine's rates, for users who ask for it."""

import math
import time
from functools import partial

import numpy as np
from scipy import linalg

from .blas import one_blas_thread
from .rates import FLOPS, REFERENCE_RATES, Rates

ORDERS = (16, 64, 192, 512)
"""Orders that `calibrate` measures, in about a second. Larger orders are assumed to run at the rate of the last."""

READ_ORDER = 3000
"""Order of the matrix that is read to measure the memory bandwidth; its 72 MB exceed the caches of most
processors."""


def calibrate(refresh: bool = False) -> Rates:
    """Measure the rates of this machine, once per process.

    A fit never calls this, since seconds differ from one process to the next. ``Scheduler(rates=calibrate())``
    predicts with the rates of this machine, and so with the constant C of arXiv:2405.00252, section IV-C.

    Parameters
    ----------
    refresh : bool, default=False
        Whether to measure again if this process has measured before.

    Returns
    -------
    Rates
        Rates of one BLAS thread, as in a fit.

    Examples
    --------
    >>> from qnewton_sk.machine import calibrate
    >>> calibrate().rate("lu", 500) > 0
    True
    """
    if refresh or "rates" not in _MEASURED:
        _MEASURED["rates"] = measure_rates()
    return _MEASURED["rates"]


_MEASURED: dict[str, Rates] = {}
"""What this process has measured."""


def measure_rates(orders=ORDERS, *, repeats=3, source="measured by calibrate()"):
    """Measure this machine's rates, each as the fastest of several runs.

    Parameters
    ----------
    orders : sequence of int
        Orders of the matrices, increasing.
    repeats : int, default=3
        Number of timed runs of each kernel, after one warm-up run.
    source : str
        Text for `Rates.source`.

    Returns
    -------
    Rates
        `call_seconds` is that of `REFERENCE_RATES`, since it is a cost of this package's own code.
    """
    tables = {kernel: [] for kernel in FLOPS}
    with one_blas_thread():  # as in a fit
        for n in orders:
            for kernel, run in _kernels(_matrix(n)).items():
                tables[kernel].append((n, FLOPS[kernel] * n**3 / best_seconds(run, repeats)))
        single_speed = _single_speed(orders[-1], repeats)
        large, v = np.ones((READ_ORDER, READ_ORDER)), np.ones(READ_ORDER)
        read_seconds = best_seconds(lambda: large @ v, repeats)
    # Bunch-Kaufman does the operations of Cholesky plus a pivot search, so a faster measurement of it is noise.
    tables["ldl"] = [(n, min(ldl, chol)) for (n, ldl), (_, chol) in zip(tables["ldl"], tables["cholesky"])]
    return Rates(
        flops_per_second=tables,
        bytes_per_second=large.nbytes / read_seconds,
        call_seconds=REFERENCE_RATES.call_seconds,
        single_speed=single_speed,
        source=source,
    )


def _matrix(n):
    """Return a symmetric positive definite matrix of order n in Fortran order."""
    B = np.random.default_rng(0).standard_normal((n, n))
    return np.asfortranarray(B + B.T + 4 * math.sqrt(n) * np.eye(n))


def _kernels(A):
    """Return each kernel on A; all write to existing memory, since the time of an allocation depends on the process."""
    work, lapack = A.copy(order="F"), linalg.lapack

    def on_copy(factorise):
        np.copyto(work, A)
        factorise(work, overwrite_a=1)

    return {
        "gemm": partial(np.matmul, A, A, out=work),
        "lu": partial(on_copy, lapack.dgetrf),
        "cholesky": partial(on_copy, partial(lapack.dpotrf, lower=1, clean=0)),
        "ldl": partial(on_copy, partial(lapack.dsytrf, lower=1, lwork=64 * len(A))),
    }


def _single_speed(n, repeats):
    A = _matrix(n)
    double_seconds, single_seconds = (
        best_seconds(lambda M=M: M @ M, repeats) for M in (A, A.astype(np.float32))
    )
    return double_seconds / single_seconds


def best_seconds(run, repeats):
    """Return the shortest time of `repeats` calls, after one warm-up call."""
    run()
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
