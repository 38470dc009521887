"""Tables of a run's history."""

from collections.abc import Iterable, Mapping

import numpy as np
from sklearn.utils.validation import check_is_fitted

from qnewton_sk.systems import must

STEP_COLUMNS = {
    "step": "d",
    "loss": ".4g",
    "gradient_norm": ".2e",
    "condition_number": ".2e",
    "oracle_sparsity": ".0f",
    "backend": "s",
    "classical_cost": ".2e",
    "quantum_cost": ".2e",
}
"""Columns of the step table with their formats."""


STAGES = ("gradient_seconds", "hessian_seconds", "schedule_seconds")
"""Measured stages of a step that do not depend on the choice of the solver."""


TIMES = (*STAGES, "modelled_seconds")
"""Columns that add up to the modelled time of a step."""


def history_of(estimator):
    """Return `history_` of an estimator.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    check_is_fitted(estimator, "history_")
    return estimator.history_


def check_columns(history, columns, name="history"):
    """Raise ValueError, with the name of the parameter, if a history is not a mapping or lacks a column."""
    if not hasattr(history, "keys") or not all(column in history for column in columns):
        expected = f"be the `history_` of a fitted estimator, with the columns {list(columns)}"
        raise must(name, expected, history)


COMPARISON = ("method", "steps", "measured stages (s)", "modelled solves (s)", "total (s)", "per step (s)")
"""Columns of the comparison of runs."""


def step_table(history, columns=None):
    """Return the steps of a fit as an aligned text table, one row per step.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_steps,)
        `history_` of a fitted estimator.
    columns : sequence of str, default=None
        Columns to show; by default loss, gradient norm, condition number, sparsity, backend and the two
        modelled costs in seconds.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a column is not in `history`.

    Examples
    --------
    >>> from qnewton_sk.reports.tables import step_table
    >>> print(step_table({"step": [1, 2], "loss": [0.5, 0.25]}, columns=["step", "loss"]))
    step  loss
       1   0.5
       2  0.25
    """
    columns = STEP_COLUMNS if columns is None else columns
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise must("columns", "be a sequence of names of columns", columns)
    columns = list(columns)
    missing = [name for name in columns if name not in history]
    if missing:
        raise ValueError(f"`columns` must be among {list(history)}; got {missing}")
    return text_table(columns, [[_cell(name, v) for v in history[name]] for name in columns])


def steps_to_loss(history, loss):
    """Return the number of steps until the loss of a fit was at most `loss`, or None if it never was.

    Examples
    --------
    >>> from qnewton_sk.reports.tables import steps_to_loss
    >>> steps_to_loss({"loss": [0.5, 0.2, 0.1]}, 0.2)
    2
    """
    reached = np.flatnonzero(np.asarray(history["loss"], dtype=float) <= loss)
    return int(reached[0]) + 1 if reached.size else None


def stages_seconds(history):
    """Return the measured time of every step without its solve: gradient, curvature, scheduling.

    Returns
    -------
    ndarray of shape (n_steps,)
    """
    return sum(np.asarray(history[name], dtype=float) for name in STAGES)


def modelled_total_seconds(history):
    """Return the time of every step with the modelled solve in place of the measured one.

    The paper adds up the same: stages that run on a classical computer in any case are measured, and the solve takes
    the time that is predicted for the backend.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_steps,)
        `history_` of a fitted estimator.

    Returns
    -------
    ndarray of shape (n_steps,)

    Examples
    --------
    >>> from qnewton_sk.reports.tables import modelled_total_seconds
    >>> modelled_total_seconds({
    ...     "gradient_seconds": [0.25, 0.25], "hessian_seconds": [0.0, 0.5],
    ...     "schedule_seconds": [0.0, 0.125], "modelled_seconds": [float("nan"), 1.0]})
    array([0.25 , 1.875])
    """
    return stages_seconds(history) + _modelled_solve_seconds(history)


def _modelled_solve_seconds(history):
    return np.nan_to_num(np.asarray(history["modelled_seconds"], dtype=float))


def compare_runs(histories, loss=None, stages_of=None):
    """Return steps and modelled time of several fits until the same training loss, as a text table.

    The columns follow table III of arXiv:2405.00252: total steps, total time, time per step. The time is split into
    a measured part (gradient, curvature, scheduling) and a modelled part (the solve).

    Parameters
    ----------
    histories : mapping of str to history
        `history_` of each fit under the name to show.
    loss : float, default=None
        The loss to reach; by default the lowest loss that all fits reached.
    stages_of : mapping of str to str, default=None
        For the name of a fit, the name of another fit whose measured stages are used instead: each step then counts
        with the mean time of its phase there. Stages measured around an emulated solve depend on the solver that
        computes it and on the load of the machine, not on the method.

    Returns
    -------
    str
        A fit that did not reach `loss` has dashes.

    Examples
    --------
    >>> from qnewton_sk.reports.tables import compare_runs
    >>> stages = {"gradient_seconds": [0.25, 0.25], "hessian_seconds": [0, 0], "schedule_seconds": [0, 0]}
    >>> fit = stages | {"phase": ["newton"] * 2, "loss": [0.5, 0.1], "modelled_seconds": [1.0, 1.0]}
    >>> print(compare_runs({"Newton": fit}))
    Until the training loss is 0.1:
    method  steps  measured stages (s)  modelled solves (s)  total (s)  per step (s)
    Newton      2                  0.5                    2        2.5          1.25
    """
    if not isinstance(histories, Mapping) or not histories:
        raise must("histories", "map at least one name to a history", histories)
    for name, history in histories.items():
        check_columns(history, ("phase", "loss", *TIMES), f"histories of {name!r}")
    if loss is None:
        loss = max(float(np.nanmin(history["loss"])) for history in histories.values())
    stages_of = stages_of or {}
    rows = [
        _time_to_loss(name, history, histories[stages_of.get(name, name)], loss)
        for name, history in histories.items()
    ]
    return f"Until the training loss is {loss:.3g}:\n" + text_table(COMPARISON, list(zip(*rows)))


def _time_to_loss(name, history, reference, loss):
    steps = steps_to_loss(history, loss)
    if steps is None:
        return name, *["-"] * (len(COMPARISON) - 1)
    measured = _stages_total(np.asarray(history["phase"])[:steps], reference)
    modelled = _modelled_solve_seconds(history)[:steps].sum()
    total = measured + modelled
    return name, str(steps), *(f"{seconds:.3g}" for seconds in (measured, modelled, total, total / steps))


def _stages_total(phases, reference):
    """Return the measured time of steps of these phases, each at the mean time of its phase in `reference`."""
    seconds, kinds = stages_seconds(reference), np.asarray(reference["phase"])
    return sum(seconds[kinds == phase].mean() * np.sum(phases == phase) for phase in np.unique(phases))


def text_table(header, columns):
    """Return right-aligned columns of strings under `header`."""
    widths = [max(map(len, [name, *cells])) for name, cells in zip(header, columns)]
    lines = [header, *zip(*columns)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in lines)


def _cell(name, value):
    missing = value is None or value == "" or value != value  # NaN differs from itself
    return "-" if missing else format(value, STEP_COLUMNS.get(name, ""))
