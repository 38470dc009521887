"""Where the time of a step goes: gradient, Hessian, solve, rest (Figure 3 of arXiv:2405.00252).

    python benchmarks/step_breakdown.py            # MNIST 784-16-16-10 and digits 64-16-16-10
    python benchmarks/step_breakdown.py --quick    # only digits
    python benchmarks/step_breakdown.py --floors   # Newton steps of N = 1000 to 13,000 beside their floors

The fits are those of the paper's net on MNIST, with a batch of 2048 samples, and of a net on all digits; each uses
the paper's classical solver, LU on the whole Hessian, and the defaults. Stages are measured inside the fit: "choose"
is the measurement of the condition number and the scheduler's choice, "rest" is everything outside the stages (trial
losses, the update of the parameters, records). A matrix-free solve computes its products with the Hessian inside
"solve".

The floor of a Newton step is one matrix product with as many operations as those of the assembly, and one Cholesky
factorisation by LAPACK. Both are measured alternately with the steps of a fit by Gauss-Newton and Cholesky; a retry
after a rejected step, which assembles nothing, does not count.

MNIST comes from the file that QNEWTON_MNIST names (an npz with X_train, y_train), or else from openml.org.
"""

import statistics

import numpy as np
from _common import Stamps, limit_threads, mnist, parser, print_table, quiet, timed, write_csv
from hessian import one_product
from scipy.linalg.lapack import dpotrf
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from qnewton_sk import Backend, QNewtonClassifier, Scheduler
from qnewton_sk.nets import Network, Objective, SoftmaxCrossEntropy, resolve_activation
from qnewton_sk.solvers.dense import LU, Cholesky, DirectCost

STAGES = ("gradient", "hessian", "schedule", "solve")
BATCH = 2048

ONLY_LU = dict(
    scheduler=Scheduler([Backend("lu", LU(), DirectCost("lu"))]),
    condition_number="products",  # the only one that never factorises: Figure 3 has no scheduler to inform
)
SETTINGS = {
    "Hessian, LU": dict(curvature="hessian", **ONLY_LU),
    "Gauss-Newton, LU": dict(curvature="gauss_newton", **ONLY_LU),
    "Hessian, auto": dict(curvature="hessian", scheduler="auto"),
    "auto, auto": dict(curvature="auto", scheduler="auto"),
}
"""Curvature and scheduler."""


WIDTHS = (12, 24, 40)
"""Hidden layers of the nets on digits whose Newton steps are compared with their floors: N of 1066 to 4650."""

BY_CHOLESKY = dict(
    curvature="gauss_newton",
    scheduler=Scheduler([Backend("cholesky", Cholesky(), DirectCost("cholesky"))]),
)


def fit(X, y, settings, steps, hidden=(16, 16)):
    """Return the history of a fit and the seconds of each of its steps."""
    stamps = Stamps()
    net = QNewtonClassifier(hidden, alpha=1e-4, max_iter=steps, tol=0.0, random_state=0, **settings)
    net.set_callbacks(stamps).fit(X, y)
    return net.history_, np.diff(stamps.seconds, prepend=0.0)


def breakdown(label, X, y, name, steps):
    """Return one row per step: seconds of every stage and of the rest."""
    history, whole = fit(X, y, SETTINGS[name], steps)
    rows = []
    for index, step in enumerate(history["step"]):
        stages = {stage: float(history[f"{stage}_seconds"][index]) for stage in STAGES}
        rest = max(0.0, float(whole[index]) - sum(stages.values()))
        row = dict(data=label, settings=name, step=int(step), phase=history["phase"][index])
        rows.append(
            row | dict(backend=history["backend"][index], accepted=history["accepted"][index], **stages)
        )
        rows[-1] |= dict(rest=rest, step_seconds=float(whole[index]))
    return rows


def summary(rows):
    """Return medians over the steps after the first, which fills caches, and each stage's share."""
    later = rows[1:] or rows
    columns = (*STAGES, "rest")
    total = sum(row["step_seconds"] for row in later)
    shares = [100 * sum(row[column] for row in later) / total for column in columns]
    used = ", ".join(dict.fromkeys(row["backend"] or row["phase"] for row in later))
    milliseconds = 1e3 * statistics.median(row["step_seconds"] for row in later)
    return [rows[0]["data"], rows[0]["settings"], used, len(later), milliseconds, *map(round, shares)]


def problems(options):
    """Yield (label, X, y, {settings: steps})."""
    X, y = load_digits(return_X_y=True)
    yield "digits 64-16-16-10", StandardScaler().fit_transform(X), y, dict.fromkeys(SETTINGS, options.steps)
    if not options.quick:
        X, y = mnist()
        steps = {"Hessian, LU": 2, "Hessian, auto": options.steps, "auto, auto": options.steps}
        yield f"MNIST 784-16-16-10, {BATCH} samples", X[:BATCH], y[:BATCH], steps


def against_floors(label, X, y, hidden, steps):
    """Return a row: seconds of a Newton step, and of the product and the factorisation that it cannot do without."""
    K = int(y.max()) + 1
    network = Network((X.shape[1], *hidden, K), [resolve_activation("tanh")] * 2, SoftmaxCrossEntropy())
    product = one_product(Objective(network, X, np.eye(K)[y]), exact=False)
    factor = np.eye(network.n_params, order="F")  # potrf takes as long on it as on any other matrix
    times = {"product": [], "cholesky": [], "step": []}
    for _ in range(3):
        times["product"].append(timed(product)[1])
        times["cholesky"].append(timed(lambda: dpotrf(factor, lower=1, overwrite_a=1))[1])
        history, whole = fit(X, y, BY_CHOLESKY, steps, hidden)
        assembled = history["hessian_seconds"] > 0
        times["step"] += whole[1:][assembled[1:]].tolist()  # the first one fills caches
    row = {name: statistics.median(taken) for name, taken in times.items()}
    floor = row["product"] + row["cholesky"]
    return dict(data=label, parameters=network.n_params, **row, ratio=row["step"] / floor)


def report_floors(options):
    """Print and write the Newton steps beside their floors."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    cases = [("digits", X, y, (h, h), options.steps) for h in (WIDTHS[:1] if options.quick else WIDTHS)]
    if not options.quick:
        X, y = mnist()
        cases.append(("MNIST", np.ascontiguousarray(X[:BATCH]), y[:BATCH].astype(int), (16, 16), 6))
    with quiet():
        rows = [against_floors(*case) for case in cases]
    write_csv(options.csv, rows)
    header = ["data", "N", "product s", "Cholesky s", "step s", "step / floor"]
    title = f"Newton steps by Gauss-Newton and Cholesky, {options.threads} thread(s)"
    print_table(title, header, [list(row.values()) for row in rows])


def main():
    arguments = parser(__doc__)
    arguments.add_argument(
        "--steps", type=int, default=20, help="steps of each fit (default 20; LU on MNIST 2)"
    )
    arguments.add_argument("--floors", action="store_true", help="Newton steps beside their floors")
    options = arguments.parse_args()
    limit_threads(options.threads)
    if options.floors:
        report_floors(options)
        return
    rows, lines = [], []
    with quiet():
        for label, X, y, settings in problems(options):
            for name, steps in settings.items():
                rows += (taken := breakdown(label, X, y, name, steps))
                lines.append(summary(taken))
    write_csv(options.csv, rows)
    header = [
        "data",
        "curvature, scheduler",
        "steps taken by",
        "steps",
        "ms a step",
        "gradient %",
        "Hessian %",
    ]
    print_table(
        f"Stages of a step, {options.threads} thread(s)", [*header, "choose %", "solve %", "rest %"], lines
    )


if __name__ == "__main__":
    main()
