"""Results of fits with default settings on small data sets: endings, scores beside scikit-learn's, Hessians.

Inputs (and the targets of regressions) are standardised on the training part; every seed has its own split, three
quarters for training. The peers are scikit-learn's MLPs with their defaults (Adam) and with solver="lbfgs", all with
the same net and activation, and each with its own default penalty; the sides take turns. Prints two tables in
Markdown, medians over the seeds:

1. fits: Newton solves, condition number of the last system, how the fits ended, seconds, test scores (accuracy, R^2);
2. Hessians: `hessian_summary_` beside numpy's eigenvalues of `hessian(X, y)` at the fitted parameters, and how many of
   its bounds and exact entries do not hold (it must be 0).

    python benchmarks/default_fits.py             # about two minutes
    python benchmarks/default_fits.py --quick     # two seeds of four data sets
    python benchmarks/default_fits.py --test-set  # real data sets that no constant was chosen on, a quarter of an hour
    python benchmarks/default_fits.py --test-set --fits-only --tol 1e-4
"""

import statistics
from collections import Counter

import numpy as np
from _common import geometric_mean, limit_threads, parser, quiet, timed, write_csv
from _real_data import REAL, load_real
from _real_data import REGRESSIONS as REAL_REGRESSIONS
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_friedman1,
    make_moons,
)
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, oracle_sparsity

DATA = {
    "iris": (load_iris, {}),
    "wine": (load_wine, {}),
    "breast cancer": (load_breast_cancer, {}),
    "digits": (load_digits, {}),
    "diabetes": (load_diabetes, {}),
    "friedman1": (make_friedman1, {"n_samples": 500, "noise": 1.0}),
    "moons": (make_moons, {"n_samples": 500, "noise": 0.25}),
}
REGRESSIONS = {"diabetes", "friedman1", *REAL_REGRESSIONS}
QUICK = ("iris", "breast cancer", "diabetes", "moons")
COMPARED = (
    "largest_eigenvalue",
    "smallest_eigenvalue",
    "smallest_magnitude",
    "n_negative",
    "condition_number",
    "trace",
    "row_sparsity",
    "effective_parameters",
)
SIGNS = {"exact": "", "estimate": "~", "lower bound": ">= ", "upper bound": "<= ", "not measured": ""}


def made_or_loaded(name, seed):
    """Return (X, y) of one of scikit-learn's data sets; those that are drawn are drawn anew per seed."""
    load, settings = DATA[name]
    return load(**settings, random_state=seed) if settings else load(return_X_y=True)


def data_of(name, seed):
    """Return X_train, X_test, y_train, y_test, standardised."""
    X, y = load_real(name) if name in REAL else made_or_loaded(name, seed)
    stratify = None if name in REGRESSIONS else y
    X, X_test, y, y_test = train_test_split(X, y, random_state=seed, stratify=stratify)
    scaler = StandardScaler().fit(X)
    if name in REGRESSIONS:
        y, y_test = (y - y.mean()) / y.std(), (y_test - y.mean()) / y.std()
    return scaler.transform(X), scaler.transform(X_test), y, y_test


def sides_of(name, seed, tol=None):
    """Return {side: estimator}, all with the same net, and with their default penalties; `tol` is for ours."""
    ours, theirs = (
        (QNewtonRegressor, MLPRegressor) if name in REGRESSIONS else (QNewtonClassifier, MLPClassifier)
    )
    net = ours(random_state=seed)
    if tol is not None:
        net.set_params(tol=tol)
    shared = {key: net.get_params()[key] for key in ("hidden_layer_sizes", "activation")}
    return {
        "ours": net,
        "adam": theirs(**shared, random_state=seed),
        "lbfgs": theirs(**shared, solver="lbfgs", random_state=seed),
    }


def fit_all(name, seed, tol=None, with_truth=True):
    """Return the row of one seed: how our fit ended, what each side took and scored, the Hessian with its truth."""
    X, X_test, y, y_test = data_of(name, seed)
    row, fits = {"data": name, "seed": seed}, sides_of(name, seed, tol)
    for side, net in fits.items():
        with quiet():
            _, row[f"{side} s"] = timed(lambda net=net: net.fit(X, y))
        row[f"{side} score"] = net.score(X_test, y_test)
    net = fits["ours"]
    row |= {
        "steps": net.n_steps_,
        "solves": len(net.schedule_),
        "backends": ", ".join(sorted(set(net.schedule_))),
        "condition_number_": net.condition_number_,
        "oracle_sparsity_": net.oracle_sparsity_,
        "stop reason": net.stop_reason_,
        "true n": sum(W.size for W in (*net.coefs_, *net.intercepts_)),
    }
    if not with_truth:
        return row
    return row | hessian_row(net.hessian(X, y), getattr(net, "hessian_summary_", None))


def truth_of(H):
    """Return the true values for the summary; effective parameters have their own tests."""
    values = np.linalg.eigvalsh(H.astype(float))
    magnitudes = np.abs(values)
    tol = len(H) * np.finfo(H.dtype).eps * magnitudes.max()
    return {
        "n": len(H),
        "largest_eigenvalue": values[-1],
        "smallest_eigenvalue": values[0],
        "smallest_magnitude": magnitudes.min(),
        "n_negative": int((values < -tol).sum()),
        "condition_number": magnitudes.max() / magnitudes.min() if magnitudes.min() else np.inf,
        "trace": float(np.trace(H)),
        "row_sparsity": int(oracle_sparsity(H).max()),
        "tol": tol,
    }


def hessian_row(H, summary):
    """Return the truth, the summary if the estimator has one, and how many of its entries do not hold."""
    truth = truth_of(H)
    row = {f"true {name}": value for name, value in truth.items()}
    if summary is None:
        return row
    row |= {name: summary[name] for name in COMPARED} | {"summary s": summary["seconds"]}
    row |= {f"how {name}": summary["how"][name] for name in COMPARED}
    return row | {"wrong": sum(not holds(name, summary, truth) for name in COMPARED if name in truth)}


def holds(name, summary, truth):
    """Return whether an entry is correct for its kind, up to rounding of eigenvalues."""
    how, value = summary["how"][name], summary[name]
    slack = truth["n"] * truth["tol"] if name == "trace" else 4 * truth["tol"]
    low = high = truth[name]
    if name == "condition_number":
        smallest, norm = truth["smallest_magnitude"], truth["condition_number"] * truth["smallest_magnitude"]
        low = norm / (smallest + slack) * (1 - 1e-9)
        high = norm / (smallest - slack) * (1 + 1e-9) if smallest > slack else np.inf
        slack = 0.0
    return not (
        (how in ("exact", "upper bound") and value < low - slack)
        or (how in ("exact", "lower bound") and value > high + slack)
    )


def markdown(title, header, rows):
    """Print a table in Markdown."""
    print(f"\n{title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


def median(rows, name):
    values = [row[name] for row in rows if row.get(name) is not None]
    return f"{statistics.median(values):.3g}" if values else "-"


def counted(rows, name):
    counts = Counter(row[name] for row in rows)
    return ", ".join(
        f"{value} ({count})" if len(counts) > 1 else str(value) for value, count in counts.items()
    )


def fits_line(name, rows):
    sides = [
        f"{median(rows, f'{side} s')} s, {median(rows, f'{side} score')}"
        for side in ("ours", "adam", "lbfgs")
    ]
    facts = [
        median(rows, key) for key in ("true n", "steps", "solves", "condition_number_", "oracle_sparsity_")
    ]
    return [name, *facts, counted(rows, "backends"), counted(rows, "stop reason"), *sides]


def print_ratios(rows):
    """Print a comparison of the default fits over all data sets."""
    ratios = {
        side: [statistics.median(row["ours s"] / row[f"{side} s"] for row in part) for part in rows.values()]
        for side in ("adam", "lbfgs")
    }
    for side, found in ratios.items():
        print(
            f"seconds of ours over {side}: geometric mean {geometric_mean(found):.3g}, at most {max(found):.3g}"
        )
    for side in ("ours", "adam", "lbfgs"):
        scores = [statistics.median(row[f"{side} score"] for row in part) for part in rows.values()]
        print(f"mean score of {side}: {statistics.mean(scores):.4f}")


def hessians_line(name, rows):
    cells = []
    for entry in COMPARED:
        how = Counter(row.get(f"how {entry}", "not measured") for row in rows).most_common(1)[0][0]
        truth = f" / {median(rows, f'true {entry}')}" if f"true {entry}" in rows[0] else ""
        measured = [row for row in rows if row.get(f"how {entry}") == how]
        cells.append(f"{SIGNS[how]}{median(measured, entry)}{truth}".replace("nan", "-"))
    shares = [{"share": row["summary s"] / row["ours s"]} for row in rows if "summary s" in row]
    wrong = sum(row["wrong"] for row in rows) if shares else "-"
    return [name, *cells, wrong, median(shares, "share")]


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--data", nargs="+", choices=[*DATA, *REAL], metavar="NAME", help="data sets")
    arguments.add_argument("--test-set", action="store_true", help="real data sets in place of these")
    arguments.add_argument("--seeds", type=int, default=5, help="splits and starts (default 5)")
    arguments.add_argument("--tol", type=float, help="of our fits, in place of the default")
    arguments.add_argument(
        "--fits-only", action="store_true", help="no Hessians, which take most of the time"
    )
    arguments = arguments.parse_args()
    limit_threads(arguments.threads)
    names = arguments.data or (REAL if arguments.test_set else QUICK if arguments.quick else DATA)
    seeds = range(2 if arguments.quick else arguments.seeds)
    fit_all("iris", 0)  # imports and caches
    rows = {
        name: [fit_all(name, seed, arguments.tol, not arguments.fits_only) for seed in seeds]
        for name in names
    }
    print_ratios(rows)
    header = "data, n, steps, solves, condition number, oracle sparsity, backends, ended, ours, Adam, L-BFGS".split(
        ", "
    )
    markdown(f"Fits, medians of {len(seeds)} seeds", header, [fits_line(*item) for item in rows.items()])
    if arguments.fits_only:
        return write_csv(arguments.csv, [row for part in rows.values() for row in part])
    columns = ["data", *(name.replace("_", " ") for name in COMPARED), "wrong", "summary s / fit s"]
    title = "Hessians: summary / numpy (~: estimate)"
    markdown(title, columns, [hessians_line(*item) for item in rows.items()])
    write_csv(arguments.csv, [row for part in rows.values() for row in part])


if __name__ == "__main__":
    main()
