"""Rates of a machine's linear algebra: the record that cost models read, and the one that ships with the package."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

FLOPS = {"gemm": 2.0, "lu": 2 / 3, "cholesky": 1 / 3, "ldl": 1 / 3}
"""Operations of each kernel in units of N^3 (Golub and Van Loan, Matrix Computations, 4th ed.)."""


@dataclass(frozen=True)
class Rates:
    """Speed of linear algebra on one core of a machine, by kernel and size.

    Parameters
    ----------
    flops_per_second : mapping of str to sequence of (n, rate)
        For each of "gemm", "lu", "cholesky" and "ldl", the rate in floating-point operations per second at
        increasing orders n. Between two orders the rate is interpolated geometrically in log n; outside them
        the nearest rate applies.
    bytes_per_second : float, default=1e10
        Rate at which a matrix that is too large for the caches is read.
    call_seconds : float, default=5e-5
        Fixed cost of one solve: Python and library calls.
    single_speed : float, default=2.0
        Rate of matrix products in single precision, relative to double precision.
    source : str, default=""
        The machine, the date and the script that the numbers come from.

    Raises
    ------
    ValueError
        If a kernel is missing, the orders do not increase, or a number is not positive and finite.

    Notes
    -----
    R_c = C N^3 (arXiv:2405.00252, section IV-C) with C = (2/3) / rate("lu", N).

    Examples
    --------
    >>> from qnewton_sk.machine import FLOPS, Rates
    >>> rates = Rates(dict.fromkeys(FLOPS, [(100, 1e9), (10_000, 1e11)]))
    >>> f"{rates.rate('lu', 1000):.3g}, {rates.seconds('lu', 2e10, 1000):.3g} s"
    '1e+10, 2 s'
    """

    flops_per_second: Mapping[str, tuple]
    bytes_per_second: float = 1e10
    call_seconds: float = 5e-5
    single_speed: float = 2.0
    source: str = ""

    def __post_init__(self):
        tables = self.flops_per_second
        if not isinstance(tables, Mapping) or set(FLOPS) - set(tables):
            raise ValueError(
                f"`flops_per_second` must map every kernel, {sorted(FLOPS)}, to its rates; got {tables!r}"
            )
        copied = {kernel: tuple(map(tuple, table)) for kernel, table in tables.items()}
        object.__setattr__(
            self, "flops_per_second", copied
        )  # later changes of the caller's dict must not change the record
        for kernel, table in copied.items():
            orders = [n for n, _ in table]
            if not orders or sorted(set(orders)) != orders:
                raise ValueError(f"`flops_per_second` must have growing orders; got {orders} for {kernel!r}")
            _check_positive("flops_per_second", [number for pair in table for number in pair])
        for name in ("bytes_per_second", "call_seconds", "single_speed"):
            _check_positive(name, [getattr(self, name)])

    def rate(self, kernel: str, n: int) -> float:
        """Return the floating-point operations per second of `kernel` at order `n`."""
        table = self.flops_per_second[kernel]
        place = bisect_left(table, (n,))  # of the first order that is not smaller
        if place == len(table):
            return table[-1][1]
        n1, r1 = table[place]
        if place == 0 or n == n1:
            return r1
        n0, r0 = table[place - 1]
        share = math.log(n / n0) / math.log(n1 / n0)
        return r0 ** (1 - share) * r1**share

    def seconds(self, kernel: str, flops: float, n: int) -> float:
        """Return the predicted time of `flops` operations in `kernel` at order `n`."""
        return flops / self.rate(kernel, n)

    def product_seconds(self, facts: Any) -> float:
        """Return the predicted time of one matvec with the matrix that `facts` describe."""
        return max(self.seconds("gemm", facts.product_flops, 64), self.call_seconds)


def _check_positive(name, numbers):
    if not all(isinstance(number, Real) and 0 < number < math.inf for number in numbers):
        raise ValueError(f"`{name}` must hold positive, finite numbers; got {numbers}")


REFERENCE_RATES = Rates(
    flops_per_second={
        "gemm": (
            (16, 3.5e09),
            (32, 1.6e10),
            (64, 3.4e10),
            (128, 4.2e10),
            (256, 4.4e10),
            (512, 4.3e10),
            (1024, 4.3e10),
            (2048, 4.3e10),
            (4096, 4.4e10),
        ),
        "lu": (
            (16, 8.3e08),
            (32, 2.6e09),
            (64, 6.9e09),
            (128, 1.0e10),
            (256, 2.1e10),
            (512, 2.6e10),
            (1024, 3.3e10),
            (2048, 3.7e10),
            (4096, 4.0e10),
        ),
        "cholesky": (
            (16, 6.6e08),
            (32, 2.9e09),
            (64, 9.7e09),
            (128, 8.9e09),
            (256, 2.7e10),
            (512, 3.1e10),
            (1024, 3.5e10),
            (2048, 3.7e10),
            (4096, 4.1e10),
        ),
        "ldl": (
            (16, 4.0e08),
            (32, 1.6e09),
            (64, 3.9e09),
            (128, 5.7e09),
            (256, 1.3e10),
            (512, 1.5e10),
            (1024, 2.0e10),
            (2048, 2.4e10),
            (4096, 2.9e10),
        ),
    },
    bytes_per_second=2.7e10,
    call_seconds=3.8e-05,
    single_speed=2.2,
    source="AMD EPYC, one thread; numpy 2.5.5, scipy 1.18.1, OpenBLAS 0.3.31 (Haswell kernels); 2026-11-24; "
    "benchmarks/reference_rates.py",
)
"""Rates that cost models use by default, measured on the machine named in `source`."""
