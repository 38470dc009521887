"""The cost of measuring a matrix in relation to a solve, and how far the results can be trusted.

Prints six tables: pruning against sorting, measuring against a solve, the estimators against the truth
(planted spectra, Hessians of fits; random matrices by size), the certified bounds, and the sparse solvers
against the dense.

    python benchmarks/conditioning.py            # N = 4000, about two minutes
    python benchmarks/conditioning.py --n 1000   # a few seconds
"""

import argparse
import math
import statistics
import time
import tracemalloc
import warnings
from contextlib import contextmanager

import numpy as np
from scipy import linalg
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk import (
    LinearSystem,
    QNewtonClassifier,
    Scheduler,
    SystemFacts,
    condition_number,
    prune_symmetric,
)
from qnewton_sk.conditioning.prepare import known_facts, prepare
from qnewton_sk.machine.calibration import calibrate
from qnewton_sk.scheduling.backends import classical_backends
from qnewton_sk.solvers.dense import LDL, LU
from qnewton_sk.solvers.sparse import SparseCG, SparseLU, SparseLUCost
from qnewton_sk.systems.system_matrix import SystemMatrix


def unmeasured(matrix, b, shift):
    """Return the system (H + shift I) x = b with the facts that are known without measuring."""
    A = matrix.shifted(shift)
    return LinearSystem(A, b, 1e-8, SystemFacts(**known_facts(A)))


def seconds(run, repeats=3):
    """Return the median time of a run."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def print_table(title, header, rows):
    rows = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    print(f"\n{title}")
    for row in (header, ["-" * width for width in widths], *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))


def gaussian(n, seed=0):
    B = np.random.default_rng(seed).standard_normal((n, n))
    return B + B.T


def planted(values, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    H = (Q * values) @ Q.T
    return (H + H.T) / 2


def pruning(n):
    H = gaussian(n)
    triangle = H[np.triu_indices(n)]
    sort = seconds(lambda: np.argsort(triangle))
    prune = seconds(lambda: prune_symmetric(H, n // 10))
    tracemalloc.start()
    P = prune_symmetric(H, n // 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rows = [
        ["argsort of the upper triangle", sort, 1.0, ""],
        [f"prune_symmetric, d = N/10 = {n // 10}", prune, prune / sort, "<= 4"],
        ["peak memory over the matrix", "", peak / H.nbytes, "<= 6"],
        ["largest difference to the transpose", "", float(abs(P - P.T).max()), "0"],
        ["most nonzeros in a row", "", int((P != 0).sum(axis=1).max()), f"<= {n // 10}"],
    ]
    print_table(f"Pruning, N = {n}", ["", "seconds", "ratio", "wanted"], rows)


def measuring(n):
    """Return what measuring and deciding add to a solve, as a share of an LU solve (medians of interleaved runs).

    A factorisation that is computed while measuring counts unless the chosen solver uses it.
    """
    b, rows, scheduler = np.ones(n), [], Scheduler(classical_backends(calibrate()))
    G = np.random.default_rng(1).standard_normal((n // 4, n))
    cases = {
        "indefinite": (gaussian(n), False, 0.5, "<= 0.15"),
        "semidefinite + shift": (G.T @ G, True, 1.0, "<= 0.05"),
    }
    offered = scheduler.available_backends()
    for name, (H, semidefinite, shift, wanted) in cases.items():
        matrix, taken = SystemMatrix.from_entries(H, semidefinite=semidefinite), {"lu": [], "extra": []}
        for _ in range(5):
            plain = unmeasured(matrix, b, shift)
            taken["lu"].append(seconds(lambda system=plain: LU().solve(system), 1))
            with factorisation_times() as times:
                start = time.perf_counter()
                system = prepare(matrix, b, 1e-8, shift)
                decision = scheduler.choose(system.facts, 1e-8, offered)
                spent = time.perf_counter() - start
            kept = system.matrix.factorised
            reused = sum(times[made] for made in kept if made == decision.chosen)
            taken["extra"].append(spent - reused)
            scheduler.solve(system, decision, offered)
        lu, extra = (statistics.median(taken[side]) for side in ("lu", "extra"))
        rows.append([name, lu, ", ".join(kept) or "none", decision.chosen, extra, extra / lu, wanted])
    header = ["matrix", "LU s", "factorised to measure", "chosen", "extra s", "extra / LU", "wanted"]
    print_table(f"Measuring, N = {n}", header, rows)


@contextmanager
def factorisation_times():
    """Yield {name: seconds} of the factorisations that are computed in the context."""
    times, factorisation = {}, SystemMatrix.factorisation

    def timed(self, name):
        start, new = time.perf_counter(), name not in self.factorised
        result = factorisation(self, name)
        if new:
            times[name] = time.perf_counter() - start
        return result

    SystemMatrix.factorisation = timed
    try:
        yield times
    finally:
        SystemMatrix.factorisation = factorisation


def spectra(n):
    sign = np.where(np.random.default_rng(2).random(n) < 0.4, -1.0, 1.0)
    for exponent in (2, 4, 6, 8, 10):
        yield f"log-uniform, 1e{exponent}", planted(sign * np.logspace(0, -exponent, n))
    yield "Gaussian", gaussian(n)
    yield "two outliers at 0", planted(np.concatenate([np.linspace(1, 2, n - 2), [1e-5, -1.3e-5]]))


def hessians(steps, shifts):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    for step in steps:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net = QNewtonClassifier((16, 16), alpha=1e-4, max_iter=max(step, 1), tol=0.0, random_state=0)
            if step == 0:  # at the start: a fit that does not move
                net.set_params(step_control="fixed", regularization=1e12)
            net.fit(X, y)
        H = net.hessian(X, y)
        for shift in shifts:
            yield f"digits, step {step}, eps {shift:g}", H + shift * np.eye(len(H))


def accuracy(n):
    rows, methods = [], ("lanczos", "auto", "one_norm", "determinant")
    for name, H in (*spectra(n), *hessians((0, 5, 20), (1e-3, 1.0, 100.0))):
        truth = float(condition_number(H, "exact"))
        ratios = [float(condition_number(SystemMatrix.from_entries(H), method)) / truth for method in methods]
        rows.append([name, len(H), truth, *ratios, "yes" if abs(ratios[0] - 1) <= 0.1 else "NO"])
    header = ["matrix", "N", "kappa", *(f"{method} / kappa" for method in methods), "lanczos within 10 %"]
    print_table("Estimators against the truth", header, rows)


def looseness(sizes=(2, 32, 128, 512), seeds=range(20)):
    """Print the minimum, median and maximum of bound or estimate over truth on random symmetric matrices."""
    rows = []
    for n in sizes:
        matrices = [gaussian(n, seed) for seed in seeds]
        truths = [float(condition_number(H, "exact")) for H in matrices]
        for method in ("one_norm", "determinant"):
            factors = [float(condition_number(H, method)) / k for H, k in zip(matrices, truths)]
            rows.append([n, method, min(factors), statistics.median(factors), max(factors)])
    header = ["N", "method", "smallest factor", "median", "largest"]
    print_table("Factors of looseness, random symmetric matrices", header, rows)


def certified(count):
    """Count the bounds below the truth, if the truth is resolved in double precision."""
    rng, rows = np.random.default_rng(3), []
    for method in ("determinant", "shift"):
        below, tightest, infinite = 0, math.inf, 0
        for _ in range(count):
            n = int(rng.integers(2, 31))
            B = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-2, 2, n)
            if method == "shift":
                matrix = SystemMatrix.from_entries(B @ B.T, semidefinite=True).shifted(
                    10.0 ** rng.uniform(-3, 3)
                )
            else:
                H = B + B.T if rng.random() < 0.5 else B @ B.T
                matrix = SystemMatrix.from_entries(H, semidefinite=False)
            magnitudes = np.abs(linalg.eigvalsh(matrix.dense()))
            truth = magnitudes.max() / max(magnitudes.min(), n * 2.3e-16 * magnitudes.max())
            bound = condition_number(matrix, method)
            below += bound < truth * (1 - 1e-9)
            infinite += bound == math.inf
            tightest = min(tightest, float(bound) / truth)
        rows.append([method, count, below, infinite, tightest])
    print_table(
        "Certified bounds", ["bound", "matrices", "below the truth", "inf", "least bound / truth"], rows
    )


def sparse_against_dense(n):
    H, b, rows, rates = gaussian(n), np.ones(n), [], calibrate()
    for d in (2, 3, 4, 6, 8, 12):
        matrix = SystemMatrix.from_entries(prune_symmetric(H, d, output="csr", keep_diagonal=True))
        definite_shift = float(abs(matrix.entries()).sum(axis=1).max())
        indefinite = unmeasured(matrix, b, 0.1)
        definite = unmeasured(matrix, b, definite_shift)
        predicted = SparseLUCost(rates)(indefinite.facts, 1e-8).seconds
        measured = seconds(lambda s=indefinite: SparseLU().solve(s), 1)
        cg = seconds(lambda s=definite: SparseCG().solve(s), 1)
        dense = seconds(lambda m=matrix: LDL().solve(unmeasured(m, b, 0.1)), 1)
        rows.append([d, measured, predicted, predicted / measured, cg, dense])
    header = ["d", "sparse LU s", "predicted s", "ratio", "sparse CG s (definite)", "dense LDL s"]
    print_table(f"Sparse solvers on a pruned Gaussian matrix, N = {n}", header, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=4000, help="order for the timings")
    parser.add_argument("--accuracy-n", type=int, default=800, help="order of the planted spectra")
    parser.add_argument(
        "--matrices", type=int, default=20_000, help="random matrices for the certified bounds"
    )
    arguments = parser.parse_args()
    pruning(arguments.n)
    measuring(arguments.n)
    accuracy(arguments.accuracy_n)
    looseness()
    certified(arguments.matrices)
    sparse_against_dense(min(arguments.n, 2000))
