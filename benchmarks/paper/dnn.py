"""The paper's DNN on MNIST by SGD and by Newton's GD with the exact Hessian: Table III, Figures 1, 3, 6 and 8.

    python benchmarks/paper/dnn.py                  # 196-16-16-10 on images of 14 x 14, N = 3594
    python benchmarks/paper/dnn.py --pixels 28      # 784-16-16-10, N = 13,002: half a minute per Newton step
    python benchmarks/paper/dnn.py --steps 1000 --sgd-steps 1500        # the paper's numbers of steps
    python benchmarks/paper/dnn.py --sweeps         # adds Figure 1 left and Figure 8 (ten runs more)
    python benchmarks/paper/dnn.py --quick          # 7 x 7, a few steps

Batches of 2048 images, drawn from the seed and the step, the same for both methods. Newton's GD is the paper's:
first-order steps first, then theta - rate (H + eps I)^-1 g with a constant eps and rate; in a sweep, the matrix may
be pruned to d entries per row. Both methods use the best of a few constant rates, Newton's GD by the loss after
--rate-steps.

Losses, accuracies and the seconds of the stages (gradient, Hessian, kappa and sparsity, LU solve) are measured. The
explicit inverse (C N^3, three times LU's operations) and the quantum solve are modelled. An interrupted run
continues from --checkpoints. MNIST comes from the file that QNEWTON_MNIST names, or from OpenML.
"""

import argparse
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
from language_costs import INVERSE_OVER_LU, QUANTUM, common_level, median_steps, running_mean
from results import FOLDER, print_table, write
from scipy import linalg
from threadpoolctl import threadpool_limits

from qnewton_sk import SystemFacts, condition_number, oracle_sparsity, prune_symmetric
from qnewton_sk.curvature import Hessian
from qnewton_sk.nets import Network, Objective, SoftmaxCrossEntropy, resolve_activation
from qnewton_sk.solvers import DirectCost

SGD_RATES = (0.1, 0.3, 1.0, 3.0)
NEWTON_RATES = (1.0, 3.0)
SHARES = (0.5, 0.75, 0.9, 0.95)
"""The p of p%-sparsity in Figure 6."""

EPS_SWEEP = (1e-2, 1e-1, 1.0, 1e1, 1e2)
SHARE_SWEEP = (0.05, 0.1, 0.2, 0.4, 0.7)
TOL = 1e-12

MAX_KAPPA = 1e100
"""Larger bounds of the condition number are priced as infinite, since the query counts square them."""


@dataclass(frozen=True)
class Settings:
    """Settings of one run: its method, length and numbers."""

    method: str
    steps: int
    rate: float
    eps: float = 1.0
    first_order: int = 10
    first_order_rate: float = 0.3
    pruned_share: float | None = None
    batch: int = 2048
    measure_every: int = 1
    seed: int = 0
    cholesky: bool = False
    """Whether a matrix that is positive definite is solved by Cholesky: the same step in half the operations."""


def images(pixels):
    """Return ((X, y) for training, (X, y) for testing): images averaged over squares to pixels x pixels."""
    path = os.environ.get("QNEWTON_MNIST")
    if path:
        with np.load(path) as data:
            parts = [(data[f"X_{part}"], data[f"y_{part}"].astype(int)) for part in ("train", "test")]
    else:
        from sklearn.datasets import fetch_openml

        X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        parts = [(X[:60_000], y[:60_000].astype(int)), (X[60_000:], y[60_000:].astype(int))]
    side = 28 // pixels
    return [
        (X.reshape(-1, pixels, side, pixels, side).mean(axis=(2, 4)).reshape(len(X), -1) / 255.0, y)
        for X, y in parts
    ]


def digits():
    """Return scikit-learn's digits, averaged to 4 x 4 pixels, in the form of `images`; for tests."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) / 16
    return [(X[:1400], y[:1400]), (X[1400:], y[1400:])]


class Run:
    """The state of a fit: parameters, one row per step, and the row sparsities of the Hessian at two steps."""

    def __init__(self, data, settings, sparsity_steps=(0, 10)):
        self.train, self.test = data
        self.settings, self.sparsity_steps = settings, sparsity_steps
        widths = [self.train[0].shape[1], 16, 16, 10]
        self.network = Network(widths, [resolve_activation("tanh")] * 2, SoftmaxCrossEntropy())
        self.theta = self.network.initial(np.random.RandomState(settings.seed))
        self.rows, self.sparsity = [], []

    def advance(self, checkpoint=None, stop_at=None):
        """Continue, from the file if it exists, to the last step or to `stop_at`."""
        if checkpoint is not None and Path(checkpoint).exists():
            self._continue(*joblib.load(checkpoint))
        last = self.settings.steps if stop_at is None else stop_at
        while len(self.rows) < last and not self.diverged:
            self._step(len(self.rows))
            if checkpoint is not None:
                joblib.dump((self.theta, self.rows, self.sparsity), f"{checkpoint}.part")
                os.replace(f"{checkpoint}.part", checkpoint)
        return self

    def after(self, run):
        """Continue where a shorter run of the same settings has ended."""
        self._continue(run.theta, list(run.rows), list(run.sparsity))
        return self

    def _continue(self, theta, rows, sparsity):
        self.theta, self.rows, self.sparsity = theta, rows, sparsity

    @property
    def diverged(self):
        """Return whether the parameters are no longer finite; the run then ends."""
        return not np.isfinite(self.theta).all()

    def _step(self, step):
        s, start = self.settings, time.perf_counter()
        objective = self._objective(step)
        value, g = objective.value_and_grad(self.theta)
        row = {"step": step, "loss": float(value), "gradient_seconds": time.perf_counter() - start}
        with_hessian = s.method == "newton" and (step >= s.first_order or step in self.sparsity_steps)
        H = self._hessian(objective, row) if with_hessian else None
        if H is not None and step in self.sparsity_steps:
            self._note_sparsity(step, H)
        if s.method == "newton" and step >= s.first_order:
            self.theta = self.theta - s.rate * self._direction(H, g, step, row)
        else:
            self.theta = self.theta - (s.rate if s.method == "sgd" else s.first_order_rate) * g
        self.rows.append(row)

    def _objective(self, step):
        rng = np.random.default_rng([self.settings.seed, step])
        X, y = self.train
        chosen = rng.choice(len(X), min(self.settings.batch, len(X)), replace=False)
        return Objective(self.network, X[chosen], np.eye(10)[y[chosen]], None, 1e-4)

    def _hessian(self, objective, row):
        start = time.perf_counter()
        matrix = Hessian().blocks(objective, self.theta)[0].matrix
        H = np.array(matrix.entries())
        row["hessian_seconds"] = time.perf_counter() - start
        return H

    def _direction(self, H, g, step, row):
        s, n = self.settings, len(g)
        if s.pruned_share is not None:
            H = prune_symmetric(H, max(1, round(s.pruned_share * n)))
        H[np.diag_indices(n)] += s.eps
        if (s.steps - 1 - step) % s.measure_every == 0:  # the last step among them
            self._measure(H, row)
        start = time.perf_counter()
        direction = self._solution(H, g)
        row["solve_seconds"] = time.perf_counter() - start
        return direction

    def _solution(self, H, g):
        if self.settings.cholesky:
            try:  # H.T is in Fortran's order, which LAPACK takes without a copy in another order
                return linalg.cho_solve(linalg.cho_factor(H.T, lower=True, check_finite=False), g)
            except linalg.LinAlgError:
                pass  # the matrix is indefinite
        return linalg.lu_solve(linalg.lu_factor(H, overwrite_a=True, check_finite=False), g)

    def _measure(self, H, row):
        """Record what the scheduler depends on: kappa, sparsity, and the cost of either solver."""
        start = time.perf_counter()
        kappa = condition_number(H, "lanczos")
        bound = condition_number(H, "determinant")
        d = int(oracle_sparsity(H, 0.5).max())
        row |= {"kappa": float(kappa), "determinant_bound": float(bound), "row_sparsity": d}
        row["schedule_seconds"] = time.perf_counter() - start
        facts = SystemFacts(
            n=len(H), kappa=float(kappa), row_nonzeros=d, norm=kappa.norm, max_abs=np.abs(H).max()
        )
        row["inverse_cost"] = INVERSE_OVER_LU * DirectCost("lu")(facts, TOL).seconds
        for view, (cost, tol) in QUANTUM.items():
            row[f"quantum_cost_{view}"] = cost(facts, tol).seconds
        affordable = bound < MAX_KAPPA
        loose = replace(facts, kappa=max(1.0, float(bound))) if affordable else None
        row["quantum_cost_by_bound"] = QUANTUM["paper"][0](loose, TOL).seconds if affordable else math.inf

    def _note_sparsity(self, step, H):
        for share, counts in zip(SHARES, oracle_sparsity(H, SHARES)):
            quantiles = np.quantile(counts, (0.1, 0.5, 0.9)) / len(H)
            names = ("tenth", "median", "ninetieth", "largest")
            values = [*map(float, quantiles), float(counts.max() / len(H))]
            self.sparsity.append({"step": step, "n": len(H), "share": share, **dict(zip(names, values))})

    def accuracy(self):
        """Return the share of test images whose digit is predicted."""
        X, y = self.test
        objective = Objective(self.network, X, np.eye(10)[y], None, 0.0)
        raw = np.concatenate([p.raw for p in objective.passes(self.theta)])
        return float((raw.argmax(axis=1) == y).mean())


def table_iii(sgd, newton):
    """Return a row per method: steps to the loss that both reach (running mean), seconds per step and in total."""
    curves = {"sgd": _losses(sgd), "newton": _losses(newton)}
    level = common_level({name: {0: losses} for name, losses in curves.items()}, digits=3)
    steps = {name: median_steps({0: losses}, level) for name, losses in curves.items()}
    typical = {key: _median(newton.rows, key) for key in ("hessian_seconds", "solve_seconds", "inverse_cost")}
    typical |= {view: _median(newton.rows, f"quantum_cost_{view}") for view in QUANTUM}
    gradient = _median(sgd.rows, "gradient_seconds")
    shared = gradient + typical["hessian_seconds"]
    rows = [
        ("SGD", "sgd", gradient, "measured"),
        ("Newton, LU solve", "newton", shared + typical["solve_seconds"], "measured"),
    ]
    rows.append(("Classical only (inverse, C N^3)", "newton", shared + typical["inverse_cost"], "modelled"))
    for view, label in (("paper", "paper's assumptions"), ("end_to_end", "end to end")):
        rows.append((f"Quantum only, {label}", "newton", shared + typical[view], "modelled"))
        cheaper = min(typical["inverse_cost"], typical[view])
        rows.append((f"Q-Newton, {label}", "newton", shared + cheaper, "modelled"))
    return [
        {"method": m, "n": newton.network.n_params, "loss": level, "steps": steps[key], "seconds_per_step": per_step,
         "total_seconds": steps[key] * per_step, "how": how}
        for m, key, per_step, how in rows
    ]  # fmt: skip


def _best(runs):
    """Return the run with the lowest final running mean of the loss, among those that did not diverge."""
    return min((run for run in runs if not run.diverged), key=lambda run: running_mean(_losses(run))[-1])


def _losses(run):
    return [row["loss"] for row in run.rows]


def _median(rows, key):
    return statistics.median([row[key] for row in rows if row.get(key) is not None] or [math.nan])


def sweep(data, settings, run_to_end):
    """Return a row per eps (Figure 8) and per pruned share (Figure 1, left): accuracy, loss, kappa at the last step.

    The runs with a pruned matrix take the eps of the highest accuracy.
    """
    rows = []

    def add(eps, share=None):
        run = run_to_end(data, replace(settings, eps=eps, pruned_share=share))
        kappa = next((row["kappa"] for row in reversed(run.rows) if "kappa" in row), math.nan)
        about = {"eps": eps, "pruned_share": share, "steps": len(run.rows), "accuracy": run.accuracy()}
        rows.append({**about, "loss": run.rows[-1]["loss"], "kappa": kappa})
        print_table("Sweep", rows[-1:])

    for eps in EPS_SWEEP:
        add(eps)
    best = max(rows, key=lambda row: row["accuracy"])["eps"]
    for share in SHARE_SWEEP:
        add(best, share)
    return rows


def study(data, options):
    """Run everything that is requested and write the tables; return the rows of Table III."""

    def run_to_end(data, settings, sparsity_steps=(), shorter=None):
        run = Run(data, settings, sparsity_steps)
        run = run if shorter is None else run.after(shorter)
        name = f"dnn-n{run.network.n_params}-" + "-".join(str(value) for value in vars(settings).values())
        options.checkpoints.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        run.advance(options.checkpoints / f"{name}.joblib")
        print(f"{name}: loss {run.rows[-1]['loss']:.4f}, {time.perf_counter() - start:.0f} s", flush=True)
        return run

    batch = min(options.batch, len(data[0][0]))
    sgd = _best(run_to_end(data, Settings("sgd", options.sgd_steps, rate, batch=batch)) for rate in SGD_RATES)
    first = {"first_order_rate": sgd.settings.rate, "measure_every": options.measure_every}
    steps = min(options.rate_steps, options.steps)
    newton = _best(
        run_to_end(data, Settings("newton", steps, rate, batch=batch, **first), (0, 10))
        for rate in NEWTON_RATES
    )
    newton_settings = replace(newton.settings, steps=options.steps)
    newton = run_to_end(data, newton_settings, (0, 10), shorter=newton)
    if newton.diverged:
        raise SystemExit(
            f"the rate {newton_settings.rate}, the better one after {steps} steps, diverges later; raise --rate-steps"
        )
    about = {"sgd_rate": str(sgd.settings.rate), "newton": str(newton_settings)}
    table = table_iii(sgd, newton)
    tables = {"steps": newton.rows, "sgd": sgd.rows, "sparsity": newton.sparsity, "times": table}
    scores = {"sgd": sgd.accuracy(), "newton": newton.accuracy()}
    tables["accuracy"] = [{"method": name, "accuracy": value} for name, value in scores.items()]
    if options.sweeps:
        length = min(options.sweep_steps, options.steps)
        short = replace(newton_settings, steps=length, measure_every=length, cholesky=True)
        tables["sweeps"] = sweep(data, short, run_to_end)
    for name, rows in tables.items():
        write(options.results / f"dnn_{options.label}_{name}.csv", rows, about)
    print_table("Table III: time to the loss that both methods get to", table)
    print_table("p%-sparsity of the rows of the Hessian over N (Figure 6)", newton.sparsity)
    return table


def main(argv=None):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--pixels", type=int, choices=(7, 14, 28), default=14, help="side of the images")
    parser.add_argument("--steps", type=int, default=60, help="steps of Newton's GD (default 60)")
    parser.add_argument("--sgd-steps", type=int, default=300, help="steps of SGD (default 300)")
    parser.add_argument(
        "--rate-steps", type=int, default=60, help="steps after which the rate is chosen (60)"
    )
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--measure-every", type=int, default=5, help="steps between two looks at kappa (5)")
    parser.add_argument("--sweeps", action="store_true", help="Figure 1 left and Figure 8 too")
    parser.add_argument("--sweep-steps", type=int, default=30, help="steps of each run of the sweeps (30)")
    parser.add_argument("--quick", action="store_true", help="7 x 7 pixels, a few steps")
    parser.add_argument("--digits", action="store_true", help="scikit-learn's digits in place of MNIST")
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if options.rate_steps <= Settings.first_order:
        parser.error(
            f"--rate-steps must exceed the {Settings.first_order} first-order steps; got {options.rate_steps}"
        )
    threadpool_limits(1)
    if options.quick:
        options.pixels, options.sgd_steps, options.sweep_steps = 7, 60, 14
        options.steps = min(options.steps, 20)
        options.results, options.checkpoints = options.results / "quick", options.checkpoints / "quick"
    options.label = "digits" if options.digits else str(options.pixels)
    return study(digits() if options.digits else images(options.pixels), options)


if __name__ == "__main__":
    main()
