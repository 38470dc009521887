"""Draw the figures of the pages and of the README, into docs/_static/figures.

    python docs/make_figures.py             # all of them, two minutes
    python docs/make_figures.py overview    # one of them

Measurements come from the files in benchmarks/results/; everything else is computed here by the package.
"""

import csv
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from qnewton_sk import (
    BreakEvenDisplay,
    HessianDisplay,
    LossCurveDisplay,
    QNewtonClassifier,
    QNewtonRegressor,
    ScheduleDisplay,
    Scheduler,
    SystemFacts,
    UncertaintyDisplay,
    classical_backends,
    quantum_backend,
    query_count,
)

matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402

FIGURES = Path(__file__).parent / "_static" / "figures"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
OURS, PEER, THIRD, GREY = "#0072B2", "#D55E00", "#009E73", "0.55"
"""Colours of Okabe and Ito's palette, which remain distinct for colour-blind readers."""


def sine_product(n=500):
    """The regression of the quickstart: sin(4x) cos(3y) without noise."""
    X = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    return X, np.sin(4 * X[:, 0]) * np.cos(3 * X[:, 1])


def two_spirals(n=200):
    """The classification of the tutorial on plateaus: two interleaved spirals."""
    radius = np.linspace(0.25, 1, n // 2)
    arm = radius[:, None] * np.column_stack([np.cos(3.6 * np.pi * radius), np.sin(3.6 * np.pi * radius)])
    return np.vstack([arm, -arm]), np.repeat([0, 1], n // 2)


def two_pieces():
    """The regression of the tutorial on uncertainty: a curve that was observed on two intervals."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-3, -1, 50), rng.uniform(1, 3, 50)])
    return x[:, None], np.sin(2 * x) + 0.3 * x + rng.normal(0, 0.15, 100)


def rows_of(name):
    """Read a file of benchmarks/results."""
    with open(RESULTS / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def overview():
    """Training loss beside the peers', and the break-even map."""
    X, y = sine_product()
    settings = dict(hidden_layer_sizes=(16, 16), activation="tanh", alpha=0.0, random_state=0)
    adam = MLPRegressor(solver="adam", max_iter=1000, n_iter_no_change=1000, **settings).fit(X, y)
    lengths = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    lbfgs = [MLPRegressor(solver="lbfgs", tol=1e-9, max_iter=k, **settings).fit(X, y).loss_ for k in lengths]
    ours = QNewtonRegressor((16, 16), alpha=0.0, tol=1e-8, n_iter_no_change=np.inf, random_state=0).fit(X, y)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.loglog(
        np.arange(1, len(adam.loss_curve_) + 1), adam.loss_curve_, color=GREY, label="MLPRegressor, Adam"
    )
    left.loglog(lengths, lbfgs, "s-", ms=4, color=PEER, label="MLPRegressor, L-BFGS")
    left.loglog(np.arange(1, ours.n_iter_ + 1), ours.loss_curve_, color=OURS, lw=2, label="QNewtonRegressor")
    left.set(xlabel="epochs", ylabel="training loss", title="sin(4x) cos(3y), 500 samples")
    left.legend(loc="lower left")
    break_even(right)
    return figure


def break_even(ax):
    """The gate time at which a quantum solver takes as long as LU, over order and condition number."""
    sizes, kappas = np.logspace(3, 9, 31), np.logspace(0, 8, 41)
    facts = [SystemFacts(n=int(n), kappa=kappa, row_nonzeros=10) for n in sizes for kappa in kappas]
    display = BreakEvenDisplay.from_facts(facts, tol=1e-2, ax=ax)
    display.ax_.set_title("Gate time at which a quantum solver breaks even")


def landscape():
    """Steps of gradient descent and of Newton's method in a narrow valley, and at a saddle."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, 200), np.linspace(-1.2, 1.2, 200))
    H = np.diag([1.0, 25.0])
    left.contour(x, y, (x**2 + 25 * y**2) / 2, levels=np.geomspace(0.05, 15, 9), colors=GREY, linewidths=0.7)
    path = [np.array([1.0, 0.35])]
    for _ in range(30):
        path.append(path[-1] - 0.075 * H @ path[-1])  # a rate just below the limit of 2 / 25
    left.plot(*np.transpose(path), "o-", ms=3, color=PEER, label="gradient descent, 30 steps")
    left.plot([1, 0], [0.35, 0], "o-", color=OURS, label="Newton, 1 step")
    left.set(title="A valley of condition number 25", aspect="equal")
    left.legend(loc="lower left")
    right.contour(x, y, x**2 / 2 - y**2 / 2 + y**4 / 4, levels=15, colors=GREY, linewidths=0.7)
    start = np.array([0.8, 0.15])
    saddle, bounded = saddle_paths(start)
    right.plot(*np.transpose(saddle), "o-", color=PEER, label="Newton without a bound")
    right.plot(*np.transpose(bounded), "o-", color=OURS, label="trust region")
    right.set(title="A saddle between two minima", aspect="equal")
    right.legend(loc="lower left")
    return figure


def saddle_paths(start, radius=0.4):
    """Iterates of Newton's method and of exact trust-region steps on x^2/2 - y^2/2 + y^4/4."""

    def gradient(p):
        return np.array([p[0], p[1] ** 3 - p[1]])

    def hessian(p):
        return np.diag([1.0, 3 * p[1] ** 2 - 1])

    newton, bounded = [start], [start]
    for _ in range(4):
        p = newton[-1]
        newton.append(p - np.linalg.solve(hessian(p), gradient(p)))
    for _ in range(8):
        p = bounded[-1]
        H, g = hessian(p), gradient(p)
        shifts = max(0.0, -np.linalg.eigvalsh(H)[0]) + np.r_[0.0, np.geomspace(1e-9, 1e3, 2000)]
        steps = [-np.linalg.solve(H + (shift + 1e-12) * np.eye(2), g) for shift in shifts]
        bounded.append(p + next(step for step in steps if np.linalg.norm(step) <= radius))
    return newton, bounded


def queries():
    """Published query counts over the condition number and over the error."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained", sharey=True)
    models = ["jennings2023", "jennings2025", "dalzell2024", "costa2023", "costa2023_numerical", "costa2026"]
    kappas, tols = np.logspace(1, 6, 40), np.logspace(-12, -1, 40)
    for model in [*models, "childs2017", "hhl2009"]:
        (line,) = left.loglog(
            kappas, [query_count(kappa, 1e-2, model=model) for kappa in kappas], label=model
        )
        right.loglog(tols, [query_count(100.0, tol, model=model) for tol in tols], color=line.get_color())
    left.set(xlabel="condition number", ylabel="expected queries", title="error 1e-2", ylim=(10, 1e16))
    right.set(xlabel="error of the solution", title="condition number 100")
    right.invert_xaxis()
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def emulator():
    """Errors asked of the emulated solver, and measured."""
    figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
    rows = rows_of("emulator_accuracy.csv")
    solvers = list(dict.fromkeys(row["solver"] for row in rows))
    for shift, (solver, marker, colour) in enumerate(zip(solvers, "os^x", (OURS, PEER, THIRD, "k"))):
        points = [(float(r["asked"]), float(r["measured"])) for r in rows if r["solver"] == solver]
        asked, measured = np.transpose(points)
        ax.loglog(asked * 1.3 ** (shift - 1.5), measured, marker, color=colour, label=solver)
    ax.plot([1e-9, 1e-1], [1e-9, 1e-1], color=GREY, zorder=0, label="as asked")
    ax.set(xlabel="relative error asked for", ylabel="largest relative error of six systems")
    ax.legend()
    return figure


def speed_ups():
    """How many times as long the better peer takes, per data set, with the cases that were not reached."""
    rows = sorted(rows_of("time_to_loss.csv"), key=lambda row: float(row["speed_up"]))
    figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    for place, row in enumerate(rows):
        mean, slowest = float(row["speed_up"]), float(row["slowest"])
        missed = int(row["cases"]) - int(row["reached"])
        ax.plot([slowest, mean], [place, place], color=GREY, lw=1, zorder=0)
        ax.plot(slowest, place, "o", mfc="white", mec=OURS, label="slowest case" if place == 0 else None)
        ax.plot(mean, place, "o", color=OURS, label="geometric mean" if place == 0 else None)
        if missed:
            text = f"{missed} of {row['cases']} not reached"
            box = dict(facecolor="white", edgecolor="none", pad=1.0)  # the line at one ends before the text
            place_of = dict(textcoords="offset points", va="center", color=PEER, bbox=box)
            ax.annotate(text, (mean, place), (8, 0), **place_of)
    ax.axvline(1, color="k", lw=0.8)
    ax.set(xscale="log", xlabel="time of the better of L-BFGS and Adam, divided by ours", xlim=(0.12, 20))
    ax.set_yticks(range(len(rows)), [row["data"] for row in rows])
    ax.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
    ax.legend(loc="lower right")
    return figure


def scaling():
    """Predicted seconds of one solve over the number of parameters, at the rates that ship with the package."""
    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    sizes = np.logspace(2, 5, 40)
    backends = {backend.name: backend for backend in classical_backends()}
    curves = {"lu": "LU", "cholesky": "Cholesky", "cholesky_single": "Cholesky in single precision"}
    for name, label in curves.items():
        seconds = [backends[name].estimate(facts_of(n, 1e3), 1e-6).seconds for n in sizes]
        ax.loglog(sizes, seconds, label=label)
    for kappa in (1e2, 1e4, 1e6):
        seconds = [backends["cg"].estimate(facts_of(n, kappa), 1e-6).seconds for n in sizes]
        ax.loglog(sizes, seconds, "--", label=rf"conjugate gradients, $\kappa$ = {kappa:.0e}")
    ax.set(xlabel="parameters N", ylabel="predicted seconds of one solve", title="Assembled matrix, one core")
    ax.legend()
    return figure


def facts_of(n, kappa):
    """A dense, assembled, positive definite system."""
    return SystemFacts(
        n=int(n), kappa=kappa, row_nonzeros=int(n), positive_definite=True, norm=1.0, max_abs=0.1
    )


def plateau():
    """Loss on two spirals: first-order steps, the default, and the exact Hessian."""
    X, y = two_spirals()
    settings = dict(alpha=1e-5, max_iter=500, n_iter_no_change=np.inf, random_state=0)
    fits = {
        "gradient steps": QNewtonClassifier(step_control="fixed", first_order_steps=500, **settings),
        'curvature="auto"': QNewtonClassifier(**settings),
        'curvature="hessian"': QNewtonClassifier(curvature="hessian", **settings),
    }
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    LossCurveDisplay.from_estimators({name: fit.fit(X, y) for name, fit in fits.items()}, ax=ax)
    ax.set(title="Two spirals, 200 samples, 354 parameters", xscale="log")
    return figure


def band():
    """The band of a regression outside its data."""
    X, y = two_pieces()
    net = QNewtonRegressor((20,), alpha="evidence", posterior="full", random_state=0).fit(X, y)
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    UncertaintyDisplay.from_estimator(net, np.linspace(-5, 5, 400)[:, None], ax=ax)
    ax.plot(X[:, 0], y, ".", color="k", ms=4, label="data")
    ax.legend()
    return figure


def history():
    """Loss and gradient norm by step, and what the solves would cost."""
    X, y = sine_product()
    scheduler = Scheduler([classical_backends()[0], quantum_backend("photonic")], tol=1e-2)
    settings = dict(curvature="gauss_newton", condition_number="lanczos", scheduler=scheduler)
    net = QNewtonRegressor((16, 16), alpha=1e-4, random_state=0, **settings).fit(X, y)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    table = net.history_
    left.semilogy(table["step"], table["loss"], color=OURS, label="loss")
    left.semilogy(table["step"], table["gradient_norm"], color=PEER, label="gradient norm")
    rejected = ~table["accepted"]
    left.semilogy(table["step"][rejected], table["loss"][rejected], "x", color="k", label="rejected step")
    left.set(xlabel="step", title="What a fit does")
    left.legend()
    ScheduleDisplay.from_estimator(net, ax=right)
    right.set_title("LU against a quantum solver with gates of 1 ns")
    return figure


def hessian():
    """Spectrum and entries of the Hessian of a fitted net."""
    X, y = sine_product()
    net = QNewtonRegressor((8, 8), alpha=1e-4, random_state=0).fit(X, y)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for kind, ax in zip(("spectrum", "magnitude"), axes):
        HessianDisplay.from_estimator(net, X, y, kind=kind, ax=ax)
    return figure


DRAWN = (overview, landscape, queries, emulator, speed_ups, scaling, plateau, band, history, hessian)


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)  # budgets of epochs end some of the fits
    FIGURES.mkdir(parents=True, exist_ok=True)
    wanted = set(sys.argv[1:]) or {draw.__name__ for draw in DRAWN}
    for draw in DRAWN:
        if draw.__name__ in wanted:
            figure = draw()
            figure.savefig(FIGURES / f"{draw.__name__}.png", dpi=110, metadata={"Software": None})
            plt.close(figure)


if __name__ == "__main__":
    main()
