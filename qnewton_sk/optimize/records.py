"""What a run leaves behind: one record per step, the table of them, and the progress after each epoch."""

import math
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np


def changed(record: Any, **changes: Any) -> Any:
    """Return a copy of a frozen record with other values of some fields.

    `dataclasses.replace` does the same in nine times the time, since it calls the constructor. The loop copies some six
    records per step, and a first-order step of a small net takes a few tenths of a millisecond. What a cached property
    has computed is not copied.

    Parameters
    ----------
    record : object
        An instance of a frozen dataclass without `__post_init__`.
    **changes : dict
        Values by the names of fields.

    Raises
    ------
    TypeError
        If there is no such field.

    Examples
    --------
    >>> from qnewton_sk.optimize.records import changed
    >>> from qnewton_sk.optimize.step_control import ControlState
    >>> changed(ControlState(damping=1.0), radius=2.0)
    ControlState(damping=1.0, growth=2.0, radius=2.0)
    """
    kind = type(record)
    names, copy = kind.__dataclass_fields__, object.__new__(kind)
    values = vars(copy)
    values.update(vars(record))
    values.update(changes)
    if len(values) > len(names):  # unknown names, or cached properties
        if not changes.keys() <= names.keys():
            raise TypeError(f"{kind.__name__} has no fields {sorted(changes.keys() - names.keys())}")
        for name in values.keys() - names.keys():
            del values[name]
    return copy


@dataclass(frozen=True)
class StepRecord:
    """One row of the history. Costs and `modelled_seconds` are modelled, the seconds of the stages are measured.

    The two costs are what the scheduler compares, including the assembly of a matrix that does not exist yet;
    `modelled_seconds` is that of the chosen solve only, since `hessian_seconds` measures the assembly.
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
    """Return {column: array}, one row per record.

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
    resume : object
        What `Newton.run` takes to go on from here as if it had not been interrupted.
    """

    theta: np.ndarray
    loss: float
    epoch: int
    steps: tuple
    stop_reason: str | None = None
    converged: bool = False
    message: str = ""
    resume: Any = None


def solve_columns(solve):
    """Return the columns that describe a solve; over several blocks costs add up, and the worst block shows.

    Parameters
    ----------
    solve : StepSolve
        The blocks of a step, solved.
    """
    facts = [s.facts for s in solve.blocks]
    decisions = [s.decision for s in solve.blocks]
    residuals = [s.solution.relative_residual for s in solve.blocks if s.solution is not None]
    break_even = [d.break_even_gate_time for d in decisions if d.break_even_gate_time is not None]
    return dict(
        condition_number=_number(max(facts, key=lambda f: f.kappa or 0.0).kappa),
        oracle_sparsity=float(max(f.row_nonzeros for f in facts)),
        backend="+".join(dict.fromkeys(d.chosen or "none" for d in decisions)),
        classical_cost=_total(d.classical_seconds for d in decisions),
        quantum_cost=_total(d.quantum_seconds for d in decisions),
        break_even_gate_time=min(break_even, default=math.nan),
        schedule_seconds=sum(s.schedule_seconds for s in solve.blocks),
        solve_seconds=sum(s.solve_seconds for s in solve.blocks),
        modelled_seconds=_total(_solve_seconds(d) for d in decisions),
        relative_residual=max(residuals, default=math.nan),
        solve_status=str(solve.status),
    )


def _solve_seconds(decision):
    """Predicted time of the chosen solve without assembly, so that it can be added to the measured stages."""
    if decision.chosen is None:
        return None
    estimate = decision.estimates[decision.chosen]
    return estimate.seconds - estimate.assembly_seconds


def _number(value):
    return math.nan if value is None else float(value)


def _total(values):
    """The sum; NaN if a term is unknown."""
    return float(sum(_number(value) for value in values))
