"""Steps to equal losses from training curves, and the times of Table IV from measured steps and modelled solves."""

import math
import statistics

import numpy as np

from qnewton_sk import QuantumCost, SystemFacts
from qnewton_sk.solvers import DirectCost

WINDOW = 10
"""Steps of the running mean of the training loss; a batch's own loss scatters by about 0.1."""

TOL = 1e-12
"""Error of the quantum solution that the paper assumes."""

READABLE_TOL = 1e-2
"""Error of the solution that suffices for Newton's method, assumed if it has to be read out."""

INVERSE_OVER_LU = 3.0
"""Operations of an explicit inverse, 2 N^3, over those of the factorisation (Golub and Van Loan)."""

QUANTUM = {
    "paper": (QuantumCost(hardware="attosecond"), TOL),
    "end_to_end": (QuantumCost(hardware="attosecond", assumptions="end_to_end"), READABLE_TOL),
}


def running_mean(losses):
    """Return the mean of the last `WINDOW` losses at each step, or of all losses if there are fewer."""
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(ends - WINDOW, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def curves_by_run(rows):
    """Return {rule: {seed: losses}} of rows with rule, seed, step and train_loss."""
    curves = {}
    for row in rows:
        curves.setdefault(row["rule"], {}).setdefault(row["seed"], []).append(row["train_loss"])
    return curves


def steps_to(losses, level):
    """Return the first step at which the running mean is at `level` or below, NaN if there is none."""
    below = np.flatnonzero(running_mean(losses) <= level)
    return float(below[0] + 1) if len(below) else math.nan


def median_steps(by_seed, level):
    """Return the median over the seeds, or NaN if at least half of them do not reach the loss."""
    steps = sorted(steps_to(losses, level) for losses in by_seed.values())
    reached = [step for step in steps if not math.isnan(step)]
    missing = [math.inf] * (len(steps) - len(reached))
    median = statistics.median(reached + missing)
    return median if math.isfinite(median) else math.nan


def levels(curves, count=4):
    """Return evenly spaced losses from the later half of SGD's median run."""
    ends = [running_mean(losses)[-1] for losses in curves["sgd"].values()]
    starts = [running_mean(losses)[len(losses) // 2] for losses in curves["sgd"].values()]
    spaced = np.linspace(statistics.median(starts), statistics.median(ends), count)
    return np.ceil(100 * spaced) / 100  # rounded up, so that SGD reaches all of them


def common_level(curves, rules=("sgd", "newton"), digits=2):
    """Return the lowest loss, rounded up, that the median runs of all these rules reach."""
    ends = [statistics.median(running_mean(losses)[-1] for losses in curves[rule].values()) for rule in rules]
    return math.ceil(max(ends) * 10**digits) / 10**digits


def steps_to_losses(rows):
    """Return a row per loss level: the median steps of every rule."""
    curves = curves_by_run(rows)
    return [
        {"loss": level, **{rule: median_steps(by_seed, level) for rule, by_seed in curves.items()}}
        for level in levels(curves)
    ]


def solve_costs(figures, solve_seconds):
    """Return {solver: predicted seconds of one Newton step's solves}, each parameter array by its median figures.

    `figures` are rows with n, kappa, row_sparsity, largest_entry, largest_eigenvalue and shift.
    """
    by_parameter = {}
    for row in figures:
        by_parameter.setdefault(row["parameter"], []).append(row)
    totals = dict.fromkeys(("inverse", "paper", "end_to_end", "scheduled_paper", "scheduled_end_to_end"), 0.0)
    for rows in by_parameter.values():
        facts = _median_facts(rows)
        inverse = INVERSE_OVER_LU * DirectCost("lu")(facts, TOL).seconds
        totals["inverse"] += inverse
        for view, (cost, tol) in QUANTUM.items():
            seconds = cost(facts, tol).seconds
            totals[view] += seconds
            totals[f"scheduled_{view}"] += min(inverse, seconds)
    return {**totals, "woodbury": sum(solve_seconds.values())}


def _median_facts(rows):
    median = {
        key: float(np.median([row[key] for row in rows]))
        for key in ("n", "kappa", "row_sparsity", "largest_entry", "largest_eigenvalue", "shift")
    }
    return SystemFacts(
        n=int(median["n"]),
        kappa=max(1.0, median["kappa"]),
        row_nonzeros=max(1, round(median["row_sparsity"])),
        norm=median["largest_eigenvalue"] + median["shift"],
        max_abs=median["largest_entry"] + median["shift"],
        positive_definite=True,
    )


def table_iv(curves, figures, seconds, solve_seconds):
    """Return a row per method: steps to the loss that both SGD and Newton's GD reach, seconds per step and in total.

    The gradient and the low-rank solve are measured; the inverse is C N^3 at the rate of `DirectCost`, and the quantum
    solve is priced twice: queries at attosecond gates, and end to end with data loading and readout.
    """
    by_rule = curves_by_run(curves)
    level = common_level(by_rule)
    costs = solve_costs([row for row in figures if row["rule"] == "newton"], solve_seconds)
    newton = median_steps(by_rule["newton"], level)
    gradient = seconds["gradient"]
    rows = [("SGD", median_steps(by_rule["sgd"], level), gradient, "measured")]
    rows += [("Adam", median_steps(by_rule["adam"], level), gradient, "measured")]
    rows += [("Newton, low-rank solve", newton, seconds["newton"], "measured")]
    priced = {
        "Classical only (inverse, C N^3)": "inverse",
        "Quantum only, paper's assumptions": "paper",
        "Q-Newton, paper's assumptions": "scheduled_paper",
        "Quantum only, end to end": "end_to_end",
        "Q-Newton, end to end": "scheduled_end_to_end",
    }
    rows += [(label, newton, gradient + costs[key], "modelled") for label, key in priced.items()]
    rows += [("Scaled gradient, no inverse", median_steps(by_rule["scaled"], level), gradient, "measured")]
    return [
        {
            "method": label,
            "loss": float(level),
            "steps": steps,
            "seconds_per_step": per_step,
            "total_seconds": steps * per_step,
            "how": how,
        }
        for label, steps, per_step, how in rows
    ]
