"""The time of a solve inside a fit in relation to the bare LAPACK call for the same matrix.

    python benchmarks/solve.py            # N from 235 to 1960, about two minutes
    python benchmarks/solve.py --quick

Systems are those of fits on digits, 64-h-10: Gauss-Newton (definite: potrf + potrs), the Hessian (indefinite:
sytrf + sytrs) and the Hessian by LU (getrf + getrs). In every step the fit's own solve and the bare call are timed
in turns; the bare call gets its matrix in Fortran order and may overwrite it. The fit's solve makes that copy, adds
the shift, checks for NaN, and measures the residual. The time of the condition number and of the choice of the
solver is shown separately: an estimator may factorise, and the solve then uses these factors.
"""

import statistics

import numpy as np
from _common import limit_threads, parser, print_table, quiet, timed, write_csv
from scipy import linalg
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from qnewton_sk import Backend, QNewtonClassifier, Scheduler
from qnewton_sk.solvers.dense import LDL, LU, Cholesky, DirectCost

WANTED = 1.1
"""Maximum acceptable ratio."""


def potrf(A, b):
    c, info = linalg.lapack.dpotrf(A, lower=1, clean=0, overwrite_a=1)
    return linalg.lapack.dpotrs(c, b, lower=1)[0]


def sytrf(A, b):
    size = int(linalg.lapack.dsytrf_lwork(len(A), lower=1)[0])
    ldu, pivots, info = linalg.lapack.dsytrf(A, lower=1, lwork=size, overwrite_a=1)
    return linalg.lapack.dsytrs(ldu, pivots, b, lower=1)[0]


def getrf(A, b):
    lu, pivots, info = linalg.lapack.dgetrf(A, overwrite_a=1)
    return linalg.lapack.dgetrs(lu, pivots, b)[0]


CASES = {
    "cholesky": ("gauss_newton", Cholesky(), potrf),
    "ldl": ("hessian", LDL(), sytrf),
    "lu": ("hessian", LU(), getrf),
}


class Stopwatch(Scheduler):
    """A scheduler of one backend that times the bare call beside every solve, into `times`."""

    def __init__(self, backends=None, bare=None, times=None):
        super().__init__(backends)
        self.bare = bare
        self.times = times

    def solve(self, system, decision, offered=None):
        found = any(name in system.matrix.factorised for name in CASES)
        bare_first = len(self.times) % 2
        bare_seconds = self._bare_seconds(system) if bare_first else None
        solution, seconds = timed(lambda: super(Stopwatch, self).solve(system, decision, offered))
        bare_seconds = bare_seconds or self._bare_seconds(system)
        self.times.append((seconds, bare_seconds, found))
        return solution

    def _bare_seconds(self, system):
        A, b = np.asfortranarray(system.matrix.dense().T), system.rhs.copy()
        return timed(lambda: self.bare(A, b))[1]


def measure(name, width, steps, X, y):
    """Return the row of one fit."""
    curvature, solver, bare = CASES[name]
    scheduler = Stopwatch([Backend(name, solver, DirectCost(name))], bare, [])
    net = QNewtonClassifier(
        (width,),
        alpha=1e-4,
        curvature=curvature,
        scheduler=scheduler,
        max_iter=steps,
        tol=0.0,
        random_state=0,
    )
    net.fit(X, y)
    solves, bares, found = map(np.array, zip(*scheduler.times[1:]))  # the first step fills the caches
    before = net.history_["schedule_seconds"][-len(scheduler.times) :][1:]
    row = dict(solver=name, n=sum(W.size + b.size for W, b in zip(net.coefs_, net.intercepts_)))
    row |= dict(solves=len(solves), bare_seconds=statistics.median(bares))
    row |= dict(solve_seconds=statistics.median(solves), before_seconds=statistics.median(before))
    row |= dict(factors_found=int(found.sum()), ratio=statistics.median(solves / bares))
    row["ratio_with_before"] = statistics.median((solves + before) / bares)
    return row


def main():
    options = parser(__doc__).parse_args()
    limit_threads(options.threads)
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    rows = []
    with quiet():
        for width in (3, 7) if options.quick else (3, 7, 13, 26):
            for name in CASES:
                rows.append(measure(name, width, 2 + 2 * options.repeats, X, y))
    write_csv(options.csv, rows)
    header = ["solver", "N", "solves", "bare s", "solve s", "before s", "factors found", "solve / bare"]
    print_table(
        f"Solve inside a fit, medians; wanted: solve / bare <= {WANTED}",
        [*header, "(before + solve) / bare"],
        [list(row.values()) for row in rows],
    )


if __name__ == "__main__":
    main()
