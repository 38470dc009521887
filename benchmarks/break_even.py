"""Where would a quantum linear solver win? The gate time at which it takes as long as a classical solve.

    python benchmarks/break_even.py [--quick]

Prints three tables, each with the paper's view (only queries) beside the end-to-end view (data loading, readout,
norm): a grid of N, kappa and d far beyond the memory of a machine; random matrices, measured; Hessians of fits on
digits after 0, 5 and 20 steps, whole and pruned. If gates are slower than the figure shown, the classical solver
wins.
"""

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from qnewton_sk import HARDWARE, QNewtonClassifier, QuantumCost, SystemFacts, prune_symmetric
from qnewton_sk.machine.calibration import calibrate
from qnewton_sk.quantum.cost import quantum_cost_table
from qnewton_sk.solvers.conjugate_gradients import CGCost
from qnewton_sk.solvers.dense import DirectCost
from qnewton_sk.systems.cost_estimate import CostEstimate

TOL = 1e-2
"""Relative error of the solution, which suffices for a Newton step."""

VIEWS = {
    "paper": QuantumCost(),
    "end to end": QuantumCost(assumptions="end_to_end"),
    "end to end, dalzell2024": QuantumCost("dalzell2024", assumptions="end_to_end"),
}


def best_classical(facts, tol):
    """Return the lower cost of a direct solver (Cholesky for a definite matrix, else LU) and conjugate gradients."""
    rates = calibrate()
    direct = DirectCost("cholesky" if facts.positive_definite else "lu", rates)
    candidates = [direct] + [CGCost(rates)] * (facts.positive_definite is True)
    return min((cost(facts, tol) for cost in candidates), key=lambda estimate: estimate.seconds)


def lu_only(facts, tol):
    """Return the cost of the paper's classical solver at this machine's rate, even for matrices beyond its memory."""
    rates = calibrate()
    return CostEstimate(rates.seconds("lu", 2 / 3 * float(facts.n) ** 3, facts.n))


def grid():
    print("\nGrid, against LU at this machine's rate: break-even seconds a gate")
    print(f"{'N':>12}{'kappa':>9}{'d':>8}" + "".join(f"{view:>26}" for view in VIEWS))
    axes = {"n": [10**3, 10**4, 10**6, 10**9], "kappa": [1e2, 1e4], "row_nonzeros": [10, 1000]}
    axes.update(tol=TOL, classical_cost=lu_only)
    tables = {view: quantum_cost_table(cost, **axes) for view, cost in VIEWS.items()}
    first = tables["paper"]
    for row in range(len(first["n"])):
        times = "".join(f"{table['break_even_gate_seconds'][row]:>26.1e}" for table in tables.values())
        print(f"{first['n'][row]:>12,}{first['kappa'][row]:>9.0e}{first['row_nonzeros'][row]:>8}{times}")


def facts_of(A):
    """Return the exact facts of a symmetric matrix."""
    values = np.linalg.eigvalsh(A)
    size = np.abs(values)
    return SystemFacts(
        n=len(A),
        kappa=size.max() / size.min(),
        row_nonzeros=int(np.count_nonzero(A, axis=1).max()),
        norm=size.max(),
        max_abs=np.abs(A).max(),
        positive_definite=bool(values[0] > 0),
    )


def matrix_row(label, A):
    facts = facts_of(A)
    classical = best_classical(facts, TOL).seconds
    times = [cost.break_even_gate_time(facts, TOL, classical) for cost in VIEWS.values()]
    sign = "definite" if facts.positive_definite else "indefinite"
    measured = f"{facts.n:>6}{facts.row_nonzeros:>6}{facts.kappa:>10.1e} {sign:<11}{classical:>10.1e}"
    print(f"{label:<34}" + measured + "".join(f"{t:>26.1e}" for t in times))


def matrix_header(title):
    print(f"\n{title}")
    views = "".join(f"{view:>26}" for view in VIEWS)
    print(f"{'matrix':<34}{'N':>6}{'d':>6}{'kappa':>10} {'':<11}{'classical':>10}" + views)


def random_matrices(sizes):
    matrix_header("Random matrices, against the best classical solver: break-even seconds a gate")
    rng = np.random.default_rng(0)
    for n in sizes:
        B = rng.standard_normal((n, n)) / np.sqrt(n)
        matrix_row("symmetric", (B + B.T) / 2)
        matrix_row("B B^T + I", B @ B.T + np.eye(n))


def hessians(hidden, steps):
    widths = "-".join(map(str, hidden))
    matrix_header(f"Hessians of digits, 64-{widths}-10, against the best classical solver")
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    for k in steps:
        H = hessian_after(k, hidden, X, y)
        for regularization in (1e-2, 1.0):
            A = H + regularization * np.eye(len(H))
            matrix_row(f"step {k}, eps {regularization:g}", A)
            matrix_row(f"step {k}, eps {regularization:g}, pruned to 10 %", prune_symmetric(A, len(A) // 10))


def hessian_after(k, hidden, X, y):
    """Return the exact Hessian of the objective after k Newton steps; k = 0 is the start of the fit."""
    net = QNewtonClassifier(
        hidden, alpha=1e-4, max_iter=max(k, 1), tol=0.0, random_state=0, scheduler="classical"
    )
    if k == 0:
        net.set_params(step_control="fixed", learning_rate_init=1e-12)  # one step that goes nowhere
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the fit is meant to be unfinished
        return net.fit(X, y).hessian(X, y)


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="small matrices and two steps")
    options = parser.parse_args()
    machines = (f"{name} {machine.gate_seconds:.1e} s" for name, machine in HARDWARE.items())
    print("Gate times of machines: " + ", ".join(machines))
    print(f"Relative error of the solution {TOL:g}; queries by jennings2023 unless said otherwise")
    grid()
    random_matrices((100, 300) if options.quick else (100, 300, 1000))
    hessians((4,) if options.quick else (16,), (0, 2) if options.quick else (0, 5, 20))


if __name__ == "__main__":
    main()
