"""What a run leaves behind: a record a step, the table of them, and the progress after each epoch."""

import math
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np


@dataclass(frozen=True)
class StepRecord:
    """One row of the history. Costs and `modelled_seconds` are modelled, the stages' seconds are measured.

    The two costs are what the scheduler compares, the assembly of a matrix that does not exist yet included;
    `modelled_seconds` is the chosen solve alone, since `hessian_seconds` measures the assembly.
    """

    step: int
    phase: str
    loss: float
    gradient_norm: float
    damping: float
    step_size: float
    accepted: bool
    condition_number: float = math.nan
    oracle_sparsity: float = math.nan
    backend: str = ""
    classical_cost: float = math.nan
    quantum_cost: float = math.nan
    break_even_gate_time: float = math.nan
    gradient_seconds: float = 0.0
    hessian_seconds: float = 0.0
    schedule_seconds: float = 0.0
    solve_seconds: float = 0.0
    modelled_seconds: float = math.nan
    relative_residual: float = math.nan
    solve_status: str = ""


COLUMNS = tuple(field.name for field in fields(StepRecord))
"""Columns of the history, in order."""
_ROW = attrgetter(*COLUMNS)


def history_table(records):
    """Return {column: array}, one row a record.

    Examples
    --------
    >>> from qnewton_sk.optimize.records import StepRecord, history_table
    >>> record = StepRecord(1, "newton", 0.5, 0.1, 1e-3, 1.0, True)
    >>> history_table([record])["loss"]
    array([0.5])
    """
    columns = zip(*map(_ROW, records)) if records else [()] * len(COLUMNS)
    return {name: np.array(column) for name, column in zip(COLUMNS, columns)}


@dataclass(frozen=True)
class Progress:
    """What the loop hands out after each epoch.

    Parameters
    ----------
    theta : ndarray of shape (n_params,)
        The last good parameters: finite, never from a rejected trial.
    loss : float
        Objective at `theta`: on all the data, or the mean over the epoch's batches.
    epoch : int
        Epochs done in this run.
    steps : tuple of StepRecord
        Those of this epoch.
    stop_reason : str or None
        Why the run ends here; None while it goes on.
    converged : bool
        Whether it ends because a minimum was found.
    message : str
        For a warning: the step, the status and the remedy.
    """

    theta: np.ndarray
    loss: float
    epoch: int
    steps: tuple
    stop_reason: str | None = None
    converged: bool = False
    message: str = ""


def solve_columns(solved):
    """Return the columns that speak of a solve; over several blocks costs add, and the worst block shows.

    Parameters
    ----------
    solved : object
        With lists `facts`, `decisions` and `solutions`, one entry a block, and the times of the two stages.
    """
    worst = max(range(len(solved.facts)), key=lambda i: solved.facts[i].kappa or 0.0)
    residuals = [s.relative_residual for s in solved.solutions if s is not None]
    break_even = [d.break_even_gate_time for d in solved.decisions if d.break_even_gate_time is not None]
    names = dict.fromkeys(d.chosen or "none" for d in solved.decisions)
    return dict(
        condition_number=_number(solved.facts[worst].kappa),
        oracle_sparsity=float(max(facts.row_nonzeros for facts in solved.facts)),
        backend="+".join(names),
        classical_cost=_total(d.classical_seconds for d in solved.decisions),
        quantum_cost=_total(d.quantum_seconds for d in solved.decisions),
        break_even_gate_time=min(break_even, default=math.nan),
        schedule_seconds=solved.schedule_seconds,
        solve_seconds=solved.solve_seconds,
        modelled_seconds=_total(
            _solve_seconds(d.estimates[d.chosen]) if d.chosen else None for d in solved.decisions
        ),
        relative_residual=max(residuals, default=math.nan),
        solve_status=str(solved.status),
    )


def _solve_seconds(estimate):
    """The predicted time of the solve alone: `hessian_seconds` measures the assembly."""
    return estimate.seconds - estimate.assembly_seconds


def _number(value):
    return math.nan if value is None else float(value)


def _total(values):
    """The sum, NaN where a part is unknown."""
    return float(sum(_number(value) for value in values))
