"""How long until the training loss at which L-BFGS ends: the default estimators against the usual alternatives.

    python benchmarks/time_to_loss.py # everything: 108 fits per side, a quarter of an hour
    python benchmarks/time_to_loss.py --quick             # one seed, one alpha, (16, 16), minutes
    python benchmarks/time_to_loss.py --data digits wine --seeds 0 --peers adam
    python benchmarks/time_to_loss.py --test-set          # real data sets that no constant was chosen on

The reference is scikit-learn's MLP with solver="lbfgs", tol=1e-9, max_iter=10000, from the same initial weights.
The target is the loss at which it ends, times 1.0001. Ours: default settings, and the same tol and max_iter.

- Fits are deterministic: a full fit (at most `--ours-cap` times the seconds of L-BFGS) finds the epoch that first
  meets the target, then fits with that number of epochs are timed in turns with L-BFGS. What the first fit in a
  process measures of the machine, some 50 ms, is not counted.
- If ours ends in a minimum above the target, the case counts as missed; it enters no mean of times, and the
  table shows how much higher the loss is.
- Adam (default settings) runs until the target or `--adam-cap` times the seconds of L-BFGS; its loss is the mean
  over an epoch's batches.
- scipy's and optimistix's Levenberg-Marquardt: only regressions, to the target and, if the data are free of noise,
  to a loss of 1e-6; at most `--lm-cap` seconds. Compilation is not counted.
"""

import itertools
import math
from functools import partial

import numpy as np
from _common import (
    Stamps,
    geometric_mean,
    interleaved,
    limit_threads,
    parser,
    print_table,
    quiet,
    timed,
    write_csv,
)
from _real_data import REAL, load_real
from _real_data import REGRESSIONS as REAL_REGRESSIONS
from sklearn import datasets
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, QNewtonRegressor

SLACK = 1.0001
"""Factor on the loss at which L-BFGS ends, whose last digits are arbitrary."""

SMALL_LOSS = 1e-6
"""Target loss of the noise-free regressions against Levenberg-Marquardt."""

EXTRA_SECONDS = 1.0
"""Added to the cap of full fits, since L-BFGS sometimes takes only milliseconds."""


def _sine_product():
    X = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    return X, np.sin(4 * X[:, 0]) * np.cos(3 * X[:, 1])


def _sinc():
    X = np.random.default_rng(0).uniform(-10, 10, (1000, 1))
    return X, np.sinc(X[:, 0] / np.pi)


def _two_spirals():
    """194 points on two spirals of three turns (Lang and Witbrock 1988)."""
    i = np.arange(97)
    radius, angle = 6.5 * (104 - i) / 104, i * np.pi / 16
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    return np.vstack([points, -points]), np.repeat([0, 1], 97)


def _parity():
    X = (np.arange(256)[:, None] >> np.arange(8)) & 1
    return X.astype(float), X.sum(axis=1) % 2


NOISE_FREE = {
    "friedman1": partial(datasets.make_friedman1, 1000, random_state=0, noise=0),
    "sin(4x)cos(3y)": _sine_product,
    "sinc": _sinc,
}
REGRESSIONS = NOISE_FREE | {"diabetes": partial(datasets.load_diabetes, return_X_y=True)}
DEVELOPMENT = REGRESSIONS | {
    "two-spirals": _two_spirals,
    "parity-8": _parity,
    "digits": partial(datasets.load_digits, return_X_y=True),
    "breast cancer": partial(datasets.load_breast_cancer, return_X_y=True),
    "wine": partial(datasets.load_wine, return_X_y=True),
}
"""The data sets that constants of the package were chosen on."""

DATA = DEVELOPMENT | {name: partial(load_real, name) for name in REAL}
REGRESSIONS |= dict.fromkeys(REAL_REGRESSIONS)


def load(name):
    """Return (X, y), with standardised inputs, and a standardised target for a regression."""
    X, y = DATA[name]()
    X = StandardScaler().fit_transform(X)
    return X, (y - y.mean()) / y.std() if name in REGRESSIONS else y


def first_at(losses, target):
    """Return the number of the first loss at or below the target, counted from 1, or None."""
    hits = np.flatnonzero(np.asarray(losses) <= target)
    return int(hits[0]) + 1 if len(hits) else None


def adam_seconds(make, X, y, target, cap_seconds):
    """Return the seconds until the target, or None after `cap_seconds`; all epochs cost the same."""
    epochs = 20
    while True:
        net, seconds = timed(make(max_iter=epochs, tol=0, n_iter_no_change=epochs).fit_on(X, y))
        reached = first_at(net.loss_curve_, target)
        if reached:
            return seconds * reached / epochs
        if seconds >= cap_seconds:
            return None
        epochs = int(epochs * min(8, max(1.2, 1.05 * cap_seconds / seconds)))


class Side:
    """An estimator class with the settings of a case; `fit_on(X, y)` is the fit that is timed."""

    def __init__(self, estimator, **settings):
        self.estimator = estimator
        self.settings = settings

    def __call__(self, **more):
        return Side(self.estimator, **self.settings, **more)

    def fit_on(self, X, y, callback=None):
        def fit():
            net = self.estimator(**self.settings)
            if callback is not None:
                net.set_callbacks(callback)
            return net.fit(X, y)

        return fit


def sides(name, hidden, alpha, seed):
    """Return the `Side`s of ours, L-BFGS and Adam."""
    regression = name in REGRESSIONS
    same = dict(hidden_layer_sizes=hidden, alpha=alpha, random_state=seed)
    ours = Side(QNewtonRegressor if regression else QNewtonClassifier, **same)
    mlp = Side(MLPRegressor if regression else MLPClassifier, activation="tanh", **same)
    return ours(tol=1e-9), mlp(solver="lbfgs", tol=1e-9, max_iter=10_000, max_fun=10**6), mlp(solver="adam")


def measure(name, hidden, alpha, seed, options, levenberg_marquardt):
    """Return the row of one case."""
    X, y = load(name)
    ours, lbfgs, adam = sides(name, hidden, alpha, seed)
    net, first_seconds = timed(lbfgs.fit_on(X, y))
    target = net.loss_ * SLACK
    stamps = Stamps(options.ours_cap * first_seconds + EXTRA_SECONDS)
    full = ours(max_iter=10_000).fit_on(X, y, stamps)()
    epochs = first_at(full.loss_curve_, target)
    # a missed case has no epoch at which to stop, so its whole fit is timed
    runs = {"lbfgs": lbfgs.fit_on(X, y), "ours": ours(max_iter=epochs or full.n_iter_).fit_on(X, y)}
    seconds = interleaved(runs, options.repeats, first={"lbfgs": first_seconds})
    ending = {"lbfgs": net.loss_, "ours": full.loss_}
    row = dict(
        data=name, hidden=str(hidden), alpha=alpha, seed=seed, target=target, reached=epochs is not None
    )
    row |= dict(epochs=full.n_iter_ if epochs is None else epochs, lbfgs_iterations=net.n_iter_)
    row |= {f"{side}_seconds": value for side, value in seconds.items()}
    row |= dict(
        ours_whole_fit_seconds=stamps.seconds[-1], loss_ratio_at_the_end=ending["ours"] / ending["lbfgs"]
    )
    row["loss_ratio_in_same_time"] = _loss_within(full, stamps, seconds["lbfgs"]) / ending["lbfgs"]
    if "adam" in options.peers:
        row["adam_seconds"] = adam_seconds(adam, X, y, target, options.adam_cap * seconds["lbfgs"])
    row["best_peer_seconds"] = min(seconds["lbfgs"], row.get("adam_seconds") or math.inf)
    row["ratio"] = row["best_peer_seconds"] / seconds["ours"] if epochs else None
    if name in REGRESSIONS:
        row |= against_lm((X, y, hidden, alpha, seed), row, full, ours, options, levenberg_marquardt)
    return row


def _loss_within(full, stamps, seconds):
    """Return the loss of the last epoch that ended within this time."""
    done = sum(stamp <= seconds for stamp in stamps.seconds)
    return full.loss_curve_[max(done, 1) - 1]


def against_lm(case, row, full, ours, options, peers):
    """Return the columns of scipy's and optimistix's Levenberg-Marquardt."""
    X, y = case[:2]
    targets = {"target": row["target"]}
    found = {}
    if row["data"] in NOISE_FREE:
        targets["small"] = SMALL_LOSS
        epochs = first_at(full.loss_curve_, SMALL_LOSS)
        if epochs:
            run = {"ours": ours(max_iter=epochs).fit_on(X, y)}
            found["ours_small_seconds"] = interleaved(run, options.repeats)["ours"]
    for peer, run in peers.items():
        reached = run(*case, tuple(targets.values()), options.lm_cap)
        if isinstance(reached, tuple):
            reached, found[f"{peer}_compile_seconds"] = reached
        found |= {f"{peer}_{kind}_seconds": reached[target] for kind, target in targets.items()}
    return found


def lm_peers(names):
    """Return {name: callable} of the Levenberg-Marquardt peers that are requested and installed."""
    from _peers import Optimistix, scipy_lm

    found = {"scipy": scipy_lm} if "scipy" in names else {}
    if "optimistix" in names:
        try:
            found["optimistix"] = Optimistix()
        except ImportError as error:
            print(f"Without optimistix ({error}): pip install jax optimistix")
    return found


def report(rows):
    """Print the tables."""
    shown = [
        "data",
        "hidden",
        "alpha",
        "seed",
        "target",
        "epochs",
        "ours_seconds",
        "lbfgs_seconds",
        "adam_seconds",
    ]
    shown += ["ratio", "loss_ratio_at_the_end"]
    titles = ["data", "hidden", "alpha", "seed", "target", "epochs", "ours s", "L-BFGS s", "Adam s"]
    print_table(
        "Time to the loss of L-BFGS ('-' under ratio: ours ends above the target; under Adam: not within its cap)",
        [*titles, "better peer / ours", "our last loss / L-BFGS's"],
        [[row.get(key) for key in shown] for row in rows],
    )
    names = list(dict.fromkeys(row["data"] for row in rows))
    summary = [_summary(name, [row for row in rows if row["data"] == name]) for name in names]
    header = ["data", "cases", "reached", "geometric mean", "slowest", "lower or equal loss at the end"]
    print_table(
        "Better peer's seconds over ours, where ours reached the target",
        header,
        [*summary, _summary("all", rows)],
    )
    means = {line[0]: line[3] for line in summary if not math.isnan(line[3])}
    if means:
        print(f"\nSlowest data set: {min(means, key=means.get)}, {min(means.values()):.3g}")
    _report_regressions([row for row in rows if row["data"] in NOISE_FREE])


def _summary(name, rows):
    ratios = [row["ratio"] for row in rows if row["reached"]]
    low = sum(row["loss_ratio_at_the_end"] <= SLACK for row in rows)
    return [name, len(rows), len(ratios), geometric_mean(ratios), min(ratios, default=math.nan), low]


def _report_regressions(rows):
    if not rows:
        return
    shown = ["data", "hidden", "alpha", "seed"]
    keys = [
        "ours_small_seconds",
        "scipy_small_seconds",
        "optimistix_small_seconds",
        "optimistix_compile_seconds",
    ]
    lines = [[row[key] for key in shown] for row in rows]
    for line, row in zip(lines, rows):
        ours, peers = row.get(keys[0]), [row.get(key) for key in keys[1:3]]
        line += [row["loss_ratio_in_same_time"], *(row.get(key) for key in keys)]
        line += [seconds / ours if ours and seconds else None for seconds in peers]
    header = [
        *shown,
        "loss in L-BFGS's time / its loss",
        "ours s",
        "scipy lm s",
        "optimistix s",
        "compiling s",
    ]
    title = f"Noise-free regressions: loss in the same time, and time to a loss of {SMALL_LOSS:g} ('-': not reached)"
    print_table(title, [*header, "scipy / ours", "optimistix / ours"], lines)
    mean = geometric_mean([row["loss_ratio_in_same_time"] for row in rows])
    print(f"\nGeometric mean of the loss in the same time over that of L-BFGS: {mean:.3g}")
    for peer, column in (("scipy", -2), ("optimistix", -1)):
        ratios = [line[column] for line in lines if line[column] is not None]
        alone = sum(row.get(keys[0]) is not None and row.get(f"{peer}_small_seconds") is None for row in rows)
        lost = sum(row.get(keys[0]) is None and row.get(f"{peer}_small_seconds") is not None for row in rows)
        print(
            f"{peer}: {geometric_mean(ratios):.3g} times our seconds where both reached {SMALL_LOSS:g} "
            f"({len(ratios)} cases, least {min(ratios, default=math.nan):.3g}); ours alone {alone}, {peer} alone {lost}"
        )


def main():
    options = _options()
    limit_threads(options.threads)
    peers = lm_peers(options.peers)
    rows = []
    cases = itertools.product(options.data, options.hidden, options.alphas, options.seeds)
    with quiet():
        QNewtonRegressor(max_iter=2).fit(*load("sinc"))  # measures the machine, once per process
        try:
            for case in cases:
                rows.append(measure(*case, options, peers))
                write_csv(options.csv, rows)
        except KeyboardInterrupt:
            print(f"Interrupted after {len(rows)} cases; the tables show these alone.")
    report(rows)


def _options():
    arguments = parser(__doc__)
    peers = ("adam", "scipy", "optimistix")
    arguments.add_argument("--data", nargs="+", choices=DATA, default=None, metavar="NAME")
    arguments.add_argument(
        "--test-set", action="store_true", help="real data sets in place of the development set"
    )
    arguments.add_argument("--hidden", nargs="+", type=_widths, default=None, help="such as 16 or 16-16")
    arguments.add_argument("--alphas", nargs="+", type=float, default=None)
    arguments.add_argument("--seeds", nargs="+", type=int, default=None)
    arguments.add_argument("--peers", nargs="*", choices=peers, default=peers, help="besides L-BFGS")
    arguments.add_argument(
        "--ours-cap", type=float, default=10.0, help="of a full fit, in seconds of L-BFGS (10)"
    )
    arguments.add_argument("--adam-cap", type=float, default=2.0, help="in seconds of L-BFGS (default 2)")
    arguments.add_argument("--lm-cap", type=float, default=20.0, help="seconds (default 20)")
    options = arguments.parse_args()
    quick = options.quick
    options.data = options.data or list(REAL if options.test_set else DEVELOPMENT)
    options.hidden = options.hidden or ([(16, 16)] if quick else [(16, 16), (16,)])
    options.alphas = options.alphas or ([1e-4] if quick else [1e-6, 1e-4])
    options.seeds = options.seeds or ([0] if quick else [0, 1, 2])
    return options


def _widths(text):
    return tuple(map(int, text.split("-")))


if __name__ == "__main__":
    main()
