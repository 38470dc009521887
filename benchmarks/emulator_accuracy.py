"""How accurate is the emulated quantum solver: errors asked for and measured, over kappa and tol.

    python benchmarks/emulator_accuracy.py [--n 16] [--circuit] [--csv benchmarks/results/emulator_accuracy.csv]

The error is ||x - x_exact|| / ||x_exact||, the maximum over seeded random systems, half of which are definite. A
circuit run needs the extra ``quantum``.
"""

import argparse
import time

import numpy as np
from _common import write_csv

from qnewton_sk import SystemFacts
from qnewton_sk.quantum.qlsa import QLSA
from qnewton_sk.systems.linear_system import LinearSystem
from qnewton_sk.systems.system_matrix import SystemMatrix

SYSTEMS = 6


def random_system(n, kappa, tol, seed):
    """Return a symmetric matrix with this condition number and logarithmically spaced eigenvalues."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = np.geomspace(1 / kappa, 1, n) * (rng.choice([-1, 1], n) if seed % 2 else 1)
    A = (Q * values) @ Q.T
    size = np.abs(np.linalg.eigvalsh(A))
    facts = SystemFacts(n=n, kappa=size.max() / size.min(), norm=size.max(), max_abs=np.abs(A).max())
    return LinearSystem(SystemMatrix.from_entries((A + A.T) / 2), rng.standard_normal(n), tol, facts)


def measure(solver, n, kappa, tol):
    """Return the maximum relative error, mean success probability, degree and mean seconds."""
    errors, probabilities, start = [], [], time.perf_counter()
    for seed in range(SYSTEMS):
        system = random_system(n, kappa, tol, seed)
        solution = solver.solve(system)
        exact = np.linalg.solve(system.matrix.dense(), system.rhs)
        errors.append(np.linalg.norm(solution.x - exact) / np.linalg.norm(exact))
        probabilities.append(solution.info["success_probability"])
    seconds = (time.perf_counter() - start) / SYSTEMS
    return max(errors), np.mean(probabilities), solution.info["degree"], seconds


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--circuit", action="store_true", help="run the circuit too")
    parser.add_argument("--csv", help="file to write the errors to")
    options = parser.parse_args()
    solvers = {"polynomial": QLSA("polynomial"), "noisy": QLSA("noisy", random_state=0)}
    solvers["noisy, 2 refinements"] = QLSA("noisy", refinements=2, random_state=0)
    if options.circuit:
        solvers["circuit"] = QLSA("circuit")
    rows = []
    print(f"N = {options.n}, {SYSTEMS} systems each, half of them definite")
    print(f"{'solver':<22}{'kappa':>7}{'asked':>9}{'measured':>11}{'degree':>8}{'success':>9}{'ms':>8}")
    for name, solver in solvers.items():
        for kappa in (10.0, 100.0, 1000.0):
            for tol in (1e-2, 1e-4, 1e-8):
                worst, success, degree, seconds = measure(solver, options.n, kappa, tol)
                figures = f"{worst:>11.1e}{degree or '-':>8}{success:>9.3f}{seconds * 1e3:>8.1f}"
                print(f"{name:<22}{kappa:>7.0f}{tol:>9.0e}{figures}")
                rows.append(
                    {"solver": name, "kappa": kappa, "asked": tol, "measured": worst, "degree": degree}
                )
    if options.csv:
        write_csv(options.csv, rows)


if __name__ == "__main__":
    main()
