"""The time of an estimate of the condition number, by every estimator, beside that of LU: Table II.

    python benchmarks/paper/condition_timing.py            # N to 10^4, some minutes and 3 GB
    python benchmarks/paper/condition_timing.py --quick    # N to 300

The matrix is a random one of known condition number, G^T G + I with G of 64 rows: like a damped Fisher matrix it has
few large eigenvalues, is known to be positive semidefinite before the shift, and stores the shift separately. Every
estimator is given a matrix without any factorisation, since the paper's estimate comes before the solve; the time of
the determinant therefore includes its factorisation. An estimator that would need more than --seconds at a size,
judged by the previous size, is left out there.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from results import FOLDER, print_table, write
from scipy import linalg
from threadpoolctl import threadpool_limits

from qnewton_sk import SystemMatrix, condition_number

METHODS = ("determinant", "lanczos", "one_norm", "shift", "products", "auto", "exact")

PAPER_MILLISECONDS = {10: 0.1, 100: 0.7, 1000: 6.2, 10_000: 13.0}
"""Table II, on an H100 in unstated precision."""

RANK = 64
SIZES = (10, 100, 1000, 3000, 10_000)


def matrix(n, seed=0):
    """Return (G^T G, kappa) of order n with G of min(64, n - 1) rows; kappa is that of G^T G + I, exactly."""
    G = np.random.default_rng(seed).standard_normal((min(RANK, n - 1), n))
    return G.T @ G, 1.0 + float(np.linalg.eigvalsh(G @ G.T)[-1])


def timings(n, limits, repeats):
    """Return a row per method: milliseconds (median) and the ratio of the estimate to the condition number."""
    A, kappa = matrix(n)
    rows = []
    for method in METHODS:
        if limits.get(method, 0.0) is None:
            continue
        seconds, found = _timed(lambda method=method: _estimate(A, method), repeats)
        ratio = float(found) / kappa
        rows.append(
            {"n": n, "method": method, "kind": found.kind, "milliseconds": 1e3 * seconds, "ratio": ratio}
        )
    seconds, _ = _timed(lambda: linalg.lapack.dgetrf(A), repeats)
    rows.append({"n": n, "method": "LU", "kind": "", "milliseconds": 1e3 * seconds, "ratio": None})
    return rows


def _estimate(A, method):
    # a new wrapper each time, since it keeps factorisations
    return condition_number(SystemMatrix.from_entries(A, shift=1.0, semidefinite=True), method)


def _timed(run, repeats):
    times, spent = [], 0.0
    while len(times) < repeats and (not times or spent < 20.0):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
        spent += times[-1]
    return statistics.median(times), result


def study(sizes, seconds, repeats):
    """Return the rows of all sizes; a method is left out if N^3 growth would take it over `seconds`."""
    rows, limits = [], {}
    for n, following in zip(sizes, (*sizes[1:], None)):
        found = timings(n, limits, repeats)
        rows += [{**row, "paper_milliseconds": PAPER_MILLISECONDS.get(n)} for row in found]
        if following is not None:
            growth = (following / n) ** 3
            late = [r["method"] for r in found if n >= 100 and r["milliseconds"] * growth > 1e3 * seconds]
            limits |= dict.fromkeys(late)
        print(f"N = {n} done", flush=True)
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="N = 10, 100, 300")
    parser.add_argument("--seconds", type=float, default=120.0, help="longest single estimate (default 120)")
    parser.add_argument("--largest", type=int, default=10_000, help="largest N (default 10,000)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=FOLDER)
    options = parser.parse_args(argv)
    threadpool_limits(1)
    if options.quick:
        options.results = options.results / "quick"
    sizes = (10, 100, 300) if options.quick else [n for n in SIZES if n <= options.largest]
    rows = study(sizes, options.seconds, options.repeats)
    write(options.results / "table2_condition_timing.csv", rows)
    print_table("Table II: time of an estimate of the condition number (ratio: estimate over truth)", rows)
    return rows


if __name__ == "__main__":
    main()
