"""How time and memory grow with parameters, samples and classes, and whether 100 000 parameters fit.

    python benchmarks/scaling.py            # three axes, a minute or two
    python benchmarks/scaling.py --mnist    # 784-100-100-10 on 60 000 images against L-BFGS, a few minutes
    python benchmarks/scaling.py --memory   # peak memory of default fits of a million rows, some ten minutes

For each axis: seconds and peak memory of assembling the exact Hessian, of one product with it (no matrix), and of
one step of an estimator with that curvature, whose solver is chosen as by default; with exponents fitted to the
larger half of the sizes. Memory is measured by tracemalloc, without the data; the peak of the whole process comes
last.

--mnist runs each side in a child process of its own, with the same threads: L-BFGS of scikit-learn for `--max-iter`
iterations, then the estimator with default settings, or in mini-batches with `--batch-size`; time to L-BFGS's loss on
all the images and the peak of resident memory are read there. MNIST comes from the file that
QNEWTON_MNIST names, or else from OpenML.

--memory fits 10^6 x 20 float32 with default settings, and 10^5 x 20 for 10 and for 100 steps, each in a child process
of its own without the cyclic garbage collector; beside it MLPRegressor. The peak of resident memory is read at the end.
"""

import gc
import json
import resource
import subprocess
import sys
import time
import tracemalloc
from functools import partial

import numpy as np
from _common import interleaved, limit_threads, mnist, parser, print_table, quiet, timed, write_csv
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor

from qnewton_sk import QNewtonClassifier, QNewtonRegressor
from qnewton_sk.curvature.matrices import Hessian
from qnewton_sk.nets.activations import resolve_activation
from qnewton_sk.nets.losses import SoftmaxCrossEntropy
from qnewton_sk.nets.network import Network
from qnewton_sk.nets.objective import Objective

BASE = dict(features=50, hidden=16, samples=1000, classes=5)
AXES = {
    "parameters": ("hidden", [8, 16, 32, 64]),
    "samples": ("samples", [1000, 2000, 4000, 8000, 16000]),
    "classes": ("classes", [3, 6, 12, 24, 48]),
}
QUICK = {"parameters": ("hidden", [8, 16, 32]), "samples": ("samples", [1000, 2000, 4000])}
STEPS = 5
"""Steps of the fit that is timed."""

MNIST_HIDDEN = (100, 100)
MAX_GIGABYTES = 4
SAME = 1 + 1e-5
"""Tolerance to which losses in single precision, and of clipped probabilities, agree."""


def problem(features, hidden, samples, classes):
    """Return (X, y) of Gaussian inputs, classes by a random linear map with noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((samples, features))
    scores = X @ rng.standard_normal((features, classes)) + rng.gumbel(size=(samples, classes))
    y = scores.argmax(axis=1)
    y[:classes] = np.arange(classes)
    return X, y


def works(size):
    """Return ({work: callable}, number of parameters) at that size."""
    X, y = problem(**size)
    network = Network(
        [size["features"], size["hidden"], size["hidden"], size["classes"]],
        [resolve_activation("tanh")] * 2,
        SoftmaxCrossEntropy(),
    )
    objective = Objective(network, X, np.eye(size["classes"])[y], None, 1e-4)
    theta = network.initial(np.random.RandomState(0))
    v = np.ones(network.n_params)

    def matrix():
        return Hessian().blocks(objective, theta)[0].matrix

    linearised = matrix()
    hidden = (size["hidden"],) * 2
    net = QNewtonClassifier(hidden, alpha=1e-4, curvature="hessian", max_iter=STEPS, tol=0.0, random_state=0)
    return {
        "assembly": lambda: matrix().entries(),
        "product": lambda: linearised.product(v),
        "step": partial(net.fit, X, y),
    }, network.n_params


def peak_bytes(run):
    """Return the peak memory of a run beyond what existed before it."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(axis, size, repeats):
    """Return the row of one size."""
    runs, n_params = works(size)
    row = dict(axis=axis, parameters=n_params, samples=size["samples"], classes=size["classes"])
    for work, run in runs.items():
        run()
        seconds = interleaved({work: run}, repeats)[work]
        row[f"{work}_seconds"] = seconds / (STEPS if work == "step" else 1)
        row[f"{work}_megabytes"] = peak_bytes(run) / 1e6
    return row


def exponents(axis, rows):
    """Return the slopes of log(cost) over log(size), over the larger half of the sizes."""
    rows = [row for row in rows if row["axis"] == axis]
    rows = rows[-max(2, (len(rows) + 1) // 2) :]
    costs = [key for key in rows[0] if key.endswith(("_seconds", "_megabytes"))]
    x = np.log([row[axis] for row in rows])
    return [
        axis,
        "",
        "",
        "",
        *(float(np.polyfit(x, np.log([row[cost] for row in rows]), 1)[0]) for cost in costs),
    ]


def scaling(options):
    rows = []
    axes = QUICK if options.quick else AXES
    for axis, (key, values) in axes.items():
        rows += [measure(axis, BASE | {key: value}, options.repeats) for value in values]
    write_csv(options.csv, rows)
    header = ["axis", "N", "samples", "classes", *("assembly s", "MB", "product s", "MB", "step s", "MB")]
    print_table("Exact Hessian and default step, by size", header, [list(row.values()) for row in rows])
    print_table(
        "Fitted exponents, larger half of the sizes", header, [exponents(axis, rows) for axis in axes]
    )
    print(f"\nPeak resident memory of the process: {_resident_gigabytes():.2f} GB")


def _resident_gigabytes():
    """Return the peak resident memory of this process; Linux counts in kB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def child(options):
    """Fit one side on MNIST and print its time and memory as JSON."""
    limit_threads(options.threads)
    X, y = mnist()
    same = dict(hidden_layer_sizes=MNIST_HIDDEN, activation="tanh", alpha=1e-4, random_state=0)
    X = X.astype(options.dtype)
    with quiet():
        if options.child == "lbfgs":
            print(json.dumps(_fit_lbfgs(X, y, same, options)))
        else:
            QNewtonClassifier((2,), max_iter=1).fit(X[:50], y[:50])  # measures the machine, once per process
            print(json.dumps(_fit_ours(X, y, same, options)))


def _fit_lbfgs(X, y, same, options):
    net = MLPClassifier(solver="lbfgs", max_iter=options.max_iter, max_fun=10**6, tol=1e-9, **same)
    seconds = timed(lambda: net.fit(X, y))[1]
    return dict(seconds=seconds, loss=float(net.loss_), epochs=net.n_iter_, gigabytes=_resident_gigabytes())


def _fit_ours(X, y, same, options):
    """Fit until the loss on all images reaches the target; fits are deterministic, and only the last one is timed."""
    if options.batch_size:
        net, seconds = _fit_batches(X, y, same, options)
    else:
        net = QNewtonClassifier(max_iter=2 * options.max_iter, tol=0.0, **same).fit(X, y)
        epochs = 1 + next(
            (k for k, loss in enumerate(net.loss_curve_[:-1]) if loss <= options.target), net.n_iter_ - 1
        )
        net = QNewtonClassifier(max_iter=epochs, tol=0.0, **same)
        seconds = timed(lambda: net.fit(X, y))[1]
    loss = _objective(net, X, y)
    used = dict.fromkeys(b or p for b, p in zip(net.history_["backend"], net.history_["phase"]))
    result = dict(seconds=seconds if loss <= options.target * SAME else None, loss=loss, epochs=net.n_iter_)
    return result | dict(gigabytes=_resident_gigabytes(), used=", ".join(used))


def _fit_batches(X, y, same, options):
    """Fit in mini-batches with one more epoch each time, since the loss that a fit records is that of its batches."""
    spent, epochs = 0.0, 0
    while True:
        epochs += 1
        net = QNewtonClassifier(max_iter=epochs, batch_size=options.batch_size, **same)
        seconds = timed(lambda net=net: net.fit(X, y))[1]
        spent += seconds
        if _objective(net, X, y) <= options.target or spent >= options.deadline:
            return net, seconds


def _objective(net, X, y):
    penalty = 0.5 * net.alpha / len(X) * sum(float((W.astype(float) ** 2).sum()) for W in net.coefs_)
    p = net.predict_proba(X).astype(float)
    return float(log_loss(y, p / p.sum(axis=1, keepdims=True))) + penalty


def run_child(side, options, *more):
    """Return the measurements of a child process."""
    same = ["--threads", str(options.threads), "--max-iter", str(options.max_iter), "--dtype", options.dtype]
    same += ["--batch-size", str(options.batch_size)]
    command = [sys.executable, __file__, "--child", side, *same, *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def against_lbfgs(options):
    start = time.perf_counter()
    lbfgs = run_child("lbfgs", options)
    print(f"L-BFGS: {lbfgs['seconds']:.3g} s to a loss of {lbfgs['loss']:.4g}", flush=True)
    deadline = options.patience * lbfgs["seconds"]
    ours = run_child("ours", options, "--target", repr(lbfgs["loss"]), "--deadline", repr(deadline))
    sides = {"L-BFGS": lbfgs, "ours": ours}
    write_csv(options.csv, [dict(side=side, **found) for side, found in sides.items()])
    keys = ["seconds", "loss", "epochs", "gigabytes", "used"]
    print_table(
        f"MNIST 60 000 x 784, hidden {MNIST_HIDDEN}, {options.dtype}, {options.threads} thread(s)",
        ["side", "s to L-BFGS's loss", "loss on all images", "epochs", "peak GB", "steps by"],
        [[side, *(found.get(key, "") for key in keys)] for side, found in sides.items()],
    )
    ratio = (
        f"{lbfgs['seconds'] / ours['seconds']:.3g} times faster" if ours["seconds"] else "target not reached"
    )
    memory = "within" if ours["gigabytes"] <= MAX_GIGABYTES else "over"
    print(f"\nOurs: {ratio}; {memory} {MAX_GIGABYTES} GB; both took {time.perf_counter() - start:.0f} s")


MEMORY_FITS = [
    ("MLPRegressor", 10**6, 3),
    ("QNewtonRegressor", 10**6, 5),
    ("QNewtonClassifier", 10**6, 5),
    ("QNewtonRegressor", 10**5, 10),
    ("QNewtonRegressor", 10**5, 100),
]
"""Estimator, rows and steps of the fits whose memory is measured."""


def memory_child(name, rows, steps):
    """Fit once and print the resident memory before the fit and at its peak, in gigabytes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 20), dtype=np.float32)
    y = X[:, 0] * X[:, 1] + np.sin(X[:, 2])
    same = dict(hidden_layer_sizes=(16, 16), max_iter=steps, tol=0.0, random_state=0)
    if name == "MLPRegressor":
        net = MLPRegressor(**{**same, "tol": 1e-4})
    elif name == "QNewtonRegressor":
        net = QNewtonRegressor(**same)
    else:
        net, y = QNewtonClassifier(**same), y > 0
    before = _resident_gigabytes()
    gc.disable()
    net.fit(X, y)
    print(json.dumps(dict(before=before, peak=_resident_gigabytes(), X=X.nbytes / 1e9, steps=net.n_iter_)))


def memory(options):
    """Print the table of peaks."""
    rows = []
    for name, n, steps in MEMORY_FITS:
        command = [sys.executable, __file__, "--memory-of", name, str(n), str(steps)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        rows.append(dict(estimator=name, rows=n, **json.loads(done.stdout.splitlines()[-1])))
        print(rows[-1], flush=True)
    write_csv(options.csv, rows)
    table = [
        [row["estimator"], row["rows"], row["steps"], row["X"], row["before"], row["peak"]] for row in rows
    ]
    header = ["estimator", "rows", "steps", "X GB", "before GB", "peak GB"]
    print_table("Resident memory of fits of 20 columns in float32, hidden (16, 16)", header, table)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--mnist", action="store_true", help="100 000 parameters against L-BFGS instead")
    arguments.add_argument("--memory", action="store_true", help="peak memory of a million rows instead")
    arguments.add_argument("--memory-of", nargs=3, help="used by --memory itself")
    arguments.add_argument("--max-iter", type=int, default=100, help="iterations of L-BFGS (default 100)")
    arguments.add_argument(
        "--patience",
        type=float,
        default=3.0,
        help="mini-batches give up after so many times its seconds, all fits together",
    )
    arguments.add_argument(
        "--batch-size", type=int, default=0, help="samples per step of ours (default: all)"
    )
    arguments.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    arguments.add_argument("--child", choices=("lbfgs", "ours"), help="used by --mnist itself")
    arguments.add_argument("--target", type=float, default=0.0, help="used by --mnist itself")
    arguments.add_argument("--deadline", type=float, default=1e9, help="used by --mnist itself")
    options = arguments.parse_args()
    if options.child:
        child(options)
        return
    if options.memory_of:
        name, rows, steps = options.memory_of
        with quiet():
            memory_child(name, int(rows), int(steps))
        return
    if options.memory:
        memory(options)
        return
    if options.mnist:
        against_lbfgs(options)
        return
    limit_threads(options.threads)
    with quiet():
        scaling(options)


if __name__ == "__main__":
    main()
