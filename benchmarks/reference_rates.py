"""Measure the rates that ship with the package as `REFERENCE_RATES`, and print the record to paste.

The cost models of the classical solvers turn operations into seconds by these rates, so that the choice of a solver,
and with it the fit, is the same on every machine. They are those of one BLAS thread, each the fastest of many runs
in several rounds, since other load can only slow a run down. Two digits are kept.

    python benchmarks/reference_rates.py
    python benchmarks/reference_rates.py --rounds 20 --quick

The record goes to `qnewton_sk/machine/rates.py`.
"""

import argparse
import datetime
import platform

import numpy as np
import scipy
from threadpoolctl import threadpool_info

from qnewton_sk.machine import FLOPS, one_blas_thread
from qnewton_sk.machine.calibration import best_seconds, measure_rates
from qnewton_sk.solvers import LU
from qnewton_sk.systems import LinearSystem, SystemFacts, SystemMatrix

ORDERS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""From the order at which the overhead of a call dominates to the order at which the rates no longer grow."""

CALL_ORDER = 4
"""Order of systems whose solution takes only overhead."""


def call_seconds(repeats):
    """Return the seconds of one solve of a system so small that only Python and library calls count."""
    rng = np.random.default_rng(0)
    H = np.eye(CALL_ORDER) + 0.1 * np.ones((CALL_ORDER, CALL_ORDER))
    facts, solver = SystemFacts(n=CALL_ORDER), LU()
    system = LinearSystem(SystemMatrix.from_entries(H), rng.standard_normal(CALL_ORDER), 1e-8, facts)
    fresh = iter([system.matrix.shifted(float(i)) for i in range(1, repeats + 2)])

    def solve():
        solver.solve(LinearSystem(next(fresh), system.rhs, system.tol, facts))

    return best_seconds(solve, repeats)


def best_of(rounds):
    """Return the record in which every rate is the best of all rounds, rounded to two digits."""
    tables = {
        kernel: [
            (n, rounded(max(dict(rates.flops_per_second[kernel])[n] for rates in rounds)))
            for n, _ in rounds[0].flops_per_second[kernel]
        ]
        for kernel in FLOPS
    }
    return {
        "flops_per_second": tables,
        "bytes_per_second": rounded(max(rates.bytes_per_second for rates in rounds)),
        "single_speed": rounded(float(np.median([rates.single_speed for rates in rounds]))),
    }


def rounded(value):
    """Return `value` rounded to two digits; more would not be reproducible."""
    return float(f"{value:.1e}")


def machine():
    """Return the processor, the libraries and the date in one line."""
    libraries = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    blas = {(lib["internal_api"], lib["version"], lib.get("architecture")) for lib in libraries}
    names = ", ".join(" ".join(filter(None, parts)) for parts in sorted(blas))
    date = datetime.date.today().isoformat()
    return f"{processor()}; numpy {np.__version__}, scipy {scipy.__version__}, {names}; {date}"


def processor():
    """Return the name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="ascii") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_record(record, source):
    """Print the record as Python source."""
    print("REFERENCE_RATES = Rates(\n    flops_per_second={")
    for kernel, table in record["flops_per_second"].items():
        print(f'        "{kernel}": ({", ".join(f"({n}, {rate:.1e})" for n, rate in table)}),')
    print("    },")
    for name in ("bytes_per_second", "call_seconds", "single_speed"):
        print(f"    {name}={record[name]:.2g},")
    print(f'    source="{source}; benchmarks/reference_rates.py",\n)')


def main():
    """Measure in rounds and print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument(
        "--rounds", type=int, default=8, help="rounds over all kernels and orders (default 8)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kernel per round (default 3)")
    parser.add_argument("--quick", action="store_true", help="orders up to 512 only")
    options = parser.parse_args()
    orders = tuple(n for n in ORDERS if n <= 512) if options.quick else ORDERS
    record = best_of([measure_rates(orders, repeats=options.repeats) for _ in range(options.rounds)])
    with one_blas_thread():
        record["call_seconds"] = rounded(call_seconds(2000))
    print_record(record, machine())


if __name__ == "__main__":
    main()
