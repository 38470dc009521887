"""Cost of classical solves: estimates, this machine's calibration, one model a solver."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .threads import available_threads, one_blas_thread


@dataclass(frozen=True)
class Calibration:
    """Rates of this machine's linear algebra, by kernel and size.

    Parameters
    ----------
    flops_per_second : mapping of str to tuple of (n, rate)
        For each of "gemm", "lu", "cholesky" and "ldl": rates at growing orders n. Between two orders the
        rate is interpolated in log n; outside, the nearest one holds.
    bytes_per_second : float
        Rate at which a matrix too large for the caches is read.
    call_seconds : float
        Fixed cost of one solve: Python and library calls.
    threads : int
        BLAS threads that there are. The rates are those of one: a fit keeps BLAS on one thread, see
        `qnewton_sk.machine.threads`.
    single_speed : float
        Rate of products in single precision over that in double.

    Notes
    -----
    R_c = C N^3 (arXiv:2405.00252, section IV-C) with C = (2/3) / rate("lu", N).
    """

    flops_per_second: Mapping[str, tuple]
    bytes_per_second: float = 1e10
    call_seconds: float = 5e-5
    threads: int = 1
    single_speed: float = 2.0

    def rate(self, kernel, n):
        """Floating-point operations a second of `kernel` at order `n`."""
        table = self.flops_per_second[kernel]
        for (n0, r0), (n1, r1) in zip(table, table[1:]):
            if n <= n0:
                return r0
            if n < n1:
                share = math.log(n / n0) / math.log(n1 / n0)
                return r0 ** (1 - share) * r1**share
        return table[-1][1]

    def seconds(self, kernel, flops, n):
        """Predicted time of `flops` operations in `kernel` at order `n`."""
        return flops / self.rate(kernel, n)

    def product_seconds(self, facts):
        """Predicted time of one product with the matrix that `facts` are about."""
        return max(self.seconds("gemm", facts.product_flops, 64), self.call_seconds)


FLOPS = {"gemm": 2.0, "lu": 2 / 3, "cholesky": 1 / 3, "ldl": 1 / 3}
"""Operations of each kernel in units of N^3 (Golub and Van Loan, Matrix Computations, 4th ed.)."""


def calibrate(refresh=False):
    """Measure this machine's rates once per process and per number of BLAS threads.

    Parameters
    ----------
    refresh : bool, default=False
        Measure again even if a calibration exists.

    Returns
    -------
    Calibration

    Examples
    --------
    >>> from qnewton_sk.machine.calibration import calibrate
    >>> calibrate().rate("lu", 500) > 0
    True
    """
    threads = available_threads()
    if refresh or threads not in _MEASURED:
        with one_blas_thread():  # as in a fit; orders up to 512 are too small for more
            _MEASURED[threads] = _measure(threads)
    return _MEASURED[threads]


_MEASURED = {}
"""Calibrations by the number of BLAS threads: every cost model asks for one at every step."""


def _measure(threads):
    rng = np.random.default_rng(0)
    table = {kernel: [] for kernel in FLOPS}
    for n in (16, 64, 192, 512):
        B = rng.standard_normal((n, n))
        A = np.asfortranarray(B + B.T + 4 * math.sqrt(n) * np.eye(n))
        for kernel, run in _kernels(A).items():
            table[kernel].append((n, FLOPS[kernel] * n**3 / _best_seconds(run, 3 if n < 500 else 2)))
    single = A.astype(np.float32)
    double_seconds, single_seconds = (_best_seconds(lambda M=M: M @ M, 3) for M in (A, single))
    v, large = np.ones(1024), np.ones((1024, 1024))
    # Bunch-Kaufman does Cholesky's operations and a search for pivots; where it came out faster, that was noise.
    table["ldl"] = [(n, min(ldl, chol)) for (n, ldl), (_, chol) in zip(table["ldl"], table["cholesky"])]
    return Calibration(
        flops_per_second={kernel: tuple(rates) for kernel, rates in table.items()},
        bytes_per_second=large.nbytes / _best_seconds(lambda: large @ v, 2),
        threads=threads,
        single_speed=double_seconds / single_seconds,
    )


def _kernels(A):
    return {
        "gemm": lambda: A @ A,
        "lu": lambda: linalg.lapack.dgetrf(A),
        "cholesky": lambda: linalg.lapack.dpotrf(A, lower=1, clean=0),
        "ldl": lambda: linalg.lapack.dsytrf(A, lower=1, lwork=64 * A.shape[0]),
    }


def _best_seconds(run, repeats):
    run()
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
