"""Cost of the quantum and of the classical solve over condition number and oracle sparsity: Figure 5.

    python benchmarks/paper/cost_curves.py [--plot FILE]

N = 10^4. Left: kappa from 10 to 10^8 at d = 1000. Right: d from 1 to 10^4 at kappa = 10^4. The classical side is LU
by this machine's rate; the quantum side is priced twice: the paper's view (only queries, an error of 1e-12,
attosecond gates) and end to end (data loading, readout and norm, an error of 1e-2). The block encoding's factor is
alpha = d, that of entries of equal size. A crossing is where both cost the same. --quick does the same: it takes a
second.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from results import FOLDER, print_table, write

from qnewton_sk import QuantumCost, SystemFacts
from qnewton_sk.solvers import DirectCost

N = 10_000
VIEWS = {
    "paper": (QuantumCost(hardware="attosecond"), 1e-12),
    "end_to_end": (QuantumCost(hardware="attosecond", assumptions="end_to_end"), 1e-2),
    "paper_alpha_1": (QuantumCost(hardware="attosecond", assumptions={"base": "paper", "alpha": 1.0}), 1e-12),
}
AXES = {
    "kappa": [dict(kappa=float(kappa), d=1000) for kappa in np.logspace(1, 8, 15)],
    "d": [dict(kappa=1e4, d=int(d)) for d in np.unique(np.logspace(0, 4, 13).round())],
}


def facts_of(kappa, d):
    """Return the facts of a matrix with this condition number and sparsity."""
    return SystemFacts(n=N, kappa=kappa, row_nonzeros=d)


def curves():
    """Return a row per point: axis, kappa, d, seconds of LU and of each view."""
    rows = []
    for axis, points in AXES.items():
        for point in points:
            facts = facts_of(**point)
            seconds = {f"{view}_seconds": cost(facts, tol).seconds for view, (cost, tol) in VIEWS.items()}
            rows.append(
                {"axis": axis, **point, "lu_seconds": DirectCost("lu")(facts, 0.1).seconds, **seconds}
            )
    return rows


def crossing(rows, axis, view):
    """Return the value of `axis` at which the view costs what LU costs, by interpolation in logarithms.

    The value is -inf if the view costs more everywhere on the grid, and inf if it costs less everywhere.
    """
    rows = [row for row in rows if row["axis"] == axis]
    gap = np.log([row[f"{view}_seconds"] / row["lu_seconds"] for row in rows])
    if (gap > 0).all():
        return -math.inf
    if (gap < 0).all():
        return math.inf
    return float(np.exp(np.interp(0.0, gap, np.log([row[axis] for row in rows]))))


def abstract_example():
    """Return a row: the abstract's dense matrix of order 10^4 and condition number 10^4."""
    facts = facts_of(1e4, N)
    row = {"n": N, "kappa": 1e4, "d": N, "lu_seconds": DirectCost("lu")(facts, 0.1).seconds}
    return row | {f"{view}_seconds": cost(facts, tol).seconds for view, (cost, tol) in VIEWS.items()}


def draw(rows, path):
    """Draw both panels into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for ax, axis in zip(figure.subplots(1, 2, sharey=True), AXES):
        points = [row for row in rows if row["axis"] == axis]
        for name in ("lu", "paper", "end_to_end"):
            ax.loglog([row[axis] for row in points], [row[f"{name}_seconds"] for row in points], label=name)
        ax.set_xlabel(axis)
    ax.figure.axes[0].set_ylabel("seconds")
    ax.legend()
    figure.savefig(path)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="no difference")
    parser.add_argument("--plot", metavar="FILE", help="draw the curves too")
    parser.add_argument("--results", type=Path, default=FOLDER)
    options = parser.parse_args(argv)
    rows = curves()
    crossings = [
        {"axis": axis, "view": view, "crossing": crossing(rows, axis, view)}
        for axis in AXES
        for view in VIEWS
    ]
    write(options.results / "figure5_curves.csv", rows)
    write(options.results / "figure5_crossings.csv", crossings)
    write(options.results / "abstract_example.csv", [abstract_example()])
    print_table("Figure 5: seconds of a solve, N = 10^4", rows)
    print_table("Where the quantum solve costs what LU costs (-inf: never cheaper, inf: always)", crossings)
    print_table("The abstract's example", [abstract_example()])
    if options.plot:
        draw(rows, options.plot)
    return crossings


if __name__ == "__main__":
    main()
