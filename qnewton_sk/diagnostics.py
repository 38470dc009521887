"""Tables and plots over the records of a fit and over its Hessian."""

import numpy as np

from .sparsity import oracle_sparsity

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
"""Measured stages of a step that no choice of the solver changes."""

COMPARISON = ("method", "steps", "measured stages (s)", "modelled solves (s)", "total (s)", "a step (s)")
"""Columns of the comparison of runs."""


def step_table(history, columns=None):
    """Return the steps of a fit as an aligned text table, one row a step.

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
    >>> from qnewton_sk.diagnostics import step_table
    >>> print(step_table({"step": [1, 2], "loss": [0.5, 0.25]}, columns=["step", "loss"]))
    step  loss
       1   0.5
       2  0.25
    """
    columns = list(STEP_COLUMNS) if columns is None else list(columns)
    missing = [name for name in columns if name not in history]
    if missing:
        raise ValueError(f"`columns` must be among {list(history)}; got {missing}")
    return text_table(columns, [[_cell(name, v) for v in history[name]] for name in columns])


def steps_to_loss(history, loss):
    """Return how many steps a fit took until its loss was at most `loss`; None where it never was.

    Examples
    --------
    >>> from qnewton_sk.diagnostics import steps_to_loss
    >>> steps_to_loss({"loss": [0.5, 0.2, 0.1]}, 0.2)
    2
    """
    reached = np.flatnonzero(np.asarray(history["loss"], dtype=float) <= loss)
    return int(reached[0]) + 1 if reached.size else None


def stages_seconds(history):
    """Return the measured time of every step but for its solve: gradient, curvature, scheduling.

    Returns
    -------
    ndarray of shape (n_steps,)
    """
    return sum(np.asarray(history[name], dtype=float) for name in STAGES)


def modelled_total_seconds(history):
    """Return the time of every step with the modelled solve in place of the measured one.

    That is what the paper adds up: the stages that a classical computer does in any case are measured,
    the solve costs what the backend is predicted to cost.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_steps,)
        `history_` of a fitted estimator.

    Returns
    -------
    ndarray of shape (n_steps,)

    Examples
    --------
    >>> from qnewton_sk.diagnostics import modelled_total_seconds
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

    As in table III of arXiv:2405.00252: total steps, time a step, total time. The time is taken apart into
    what was measured (gradient, curvature, scheduling) and what is modelled (the solve).

    Parameters
    ----------
    histories : mapping of str to history
        `history_` of each fit under the name to show.
    loss : float, default=None
        The loss to be reached; by default the lowest that every one of the fits reached.
    stages_of : mapping of str to str, default=None
        For fits by name, the fit whose measured stages count as theirs, step for step. An emulated solve is
        computed by a real solver; what that one needs, and how busy the machine was, says nothing of the method.

    Returns
    -------
    str
        A fit that did not reach `loss` has dashes.

    Examples
    --------
    >>> from qnewton_sk.diagnostics import compare_runs
    >>> stages = {"gradient_seconds": [0.25, 0.25], "hessian_seconds": [0, 0], "schedule_seconds": [0, 0]}
    >>> fit = stages | {"phase": ["newton"] * 2, "loss": [0.5, 0.1], "modelled_seconds": [1.0, 1.0]}
    >>> print(compare_runs({"Newton": fit}))
    Until the training loss is 0.1:
    method  steps  measured stages (s)  modelled solves (s)  total (s)  a step (s)
    Newton      2                  0.5                    2        2.5        1.25
    """
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
    """The measured stages of steps of these phases at the mean time that each phase takes in `reference`."""
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


ABSCISSAE = {
    "step": lambda history: np.asarray(history["step"]),
    "seconds": lambda history: np.cumsum(modelled_total_seconds(history)),
}
ABSCISSA_LABELS = {"step": "step", "seconds": "seconds, solves modelled"}


class LossCurveDisplay:
    """Training loss by step, or by modelled time.

    Parameters
    ----------
    histories : mapping of str to history
        `history_` of fits under the names of their curves.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    lines_ : list of matplotlib Line2D
        One curve a fit.

    Examples
    --------
    >>> from qnewton_sk import LossCurveDisplay
    >>> display = LossCurveDisplay.from_history({"step": [1, 2, 3], "loss": [1.0, 0.1, 0.01]})
    >>> display.ax_.get_yscale()
    'log'
    """

    def __init__(self, histories):
        self.histories = histories

    @classmethod
    def from_estimator(cls, estimator, *, name=None, by="step", ax=None, **line):
        """Draw the loss curve of a fitted estimator; see `plot` for the parameters."""
        return cls.from_history(estimator.history_, name=name, by=by, ax=ax, **line)

    @classmethod
    def from_estimators(cls, estimators, *, by="step", ax=None, **line):
        """Draw the loss curves of several fitted estimators, a mapping of name to estimator."""
        return cls({name: est.history_ for name, est in estimators.items()}).plot(by=by, ax=ax, **line)

    @classmethod
    def from_history(cls, history, *, name=None, by="step", ax=None, **line):
        """Draw the loss curve of one history; see `plot` for the parameters."""
        return cls({name: history}).plot(by=by, ax=ax, **line)

    def plot(self, *, by="step", ax=None, **line):
        """Draw the curves.

        Parameters
        ----------
        by : {"step", "seconds"}, default="step"
            Horizontal axis: steps, or time since the start with modelled solves (see
            `modelled_total_seconds`).
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **line : dict
            Passed to `Axes.plot`.

        Returns
        -------
        LossCurveDisplay
        """
        if by not in ABSCISSAE:
            raise ValueError(f"`by` must be one of {list(ABSCISSAE)}; got {by!r}")
        self.ax_, self.figure_ = _axes(ax)
        self.lines_ = [
            self.ax_.plot(ABSCISSAE[by](history), history["loss"], label=name, **line)[0]
            for name, history in self.histories.items()
        ]
        self.ax_.set(xlabel=ABSCISSA_LABELS[by], ylabel="training loss", yscale="log")
        if any(self.histories):
            self.ax_.legend()
        return self


class ScheduleDisplay:
    """Modelled cost of the classical and the quantum solve at every Newton step, and which one was chosen.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_steps,)
        `history_` of a fitted estimator.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    lines_ : list of matplotlib Line2D
        The costs of the classical and of the quantum solve.
    chosen_ : list of matplotlib PathCollection
        Marks at the modelled cost of the chosen backend, one collection a backend.

    Notes
    -----
    Figure 1 (right) of arXiv:2405.00252.
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the schedule of a fitted estimator."""
        return cls.from_history(estimator.history_, ax=ax)

    @classmethod
    def from_history(cls, history, *, ax=None):
        """Draw the schedule of one history."""
        return cls(history).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the two costs and the choices on `ax`, by default on a new figure.

        Returns
        -------
        ScheduleDisplay
        """
        self.ax_, self.figure_ = _axes(ax)
        newton = np.asarray(self.history["phase"]) == "newton"
        history = {name: np.asarray(column)[newton] for name, column in self.history.items()}
        self.lines_ = [
            self.ax_.plot(history["step"], history[f"{kind}_cost"], linewidth=1, label=f"{kind} cost")[0]
            for kind in ("classical", "quantum")
        ]
        self.chosen_ = [self._mark(history, name) for name in np.unique(history["backend"])]
        self.ax_.set(xlabel="step", ylabel="modelled cost of the solve (s)", yscale="log")
        self.ax_.legend()
        return self

    def _mark(self, history, backend):
        chosen = history["backend"] == backend
        steps, seconds = history["step"][chosen], history["modelled_seconds"][chosen]
        return self.ax_.scatter(steps, seconds, s=18, label=f"chosen: {backend}")


class HessianDisplay:
    """A Hessian as its spectrum, as the magnitude of its entries, or as the sparsity of its rows.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        A symmetric matrix.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import HessianDisplay
    >>> HessianDisplay.from_matrix(np.diag([3.0, 2.0, 1.0])).ax_.get_ylabel()
    '|eigenvalue|'
    """

    KINDS = ("spectrum", "magnitude", "sparsity")

    def __init__(self, matrix):
        self.matrix = matrix

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, sample_weight=None, curvature="hessian", kind="spectrum", ax=None
    ):
        """Draw the Hessian of the training objective of a fitted estimator at X, y.

        Parameters
        ----------
        estimator : QNewtonClassifier or QNewtonRegressor
            Fitted.
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        curvature : str, default="hessian"
            As in `estimator.hessian`.
        kind : {"spectrum", "magnitude", "sparsity"}, default="spectrum"
            See `plot`.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        HessianDisplay
        """
        matrix = estimator.hessian(X, y, sample_weight=sample_weight, curvature=curvature)
        return cls.from_matrix(matrix, kind=kind, ax=ax)

    @classmethod
    def from_matrix(cls, matrix, *, kind="spectrum", ax=None):
        """Draw a symmetric matrix of shape (n, n); see `plot` for the parameters."""
        return cls(np.asarray(matrix)).plot(kind=kind, ax=ax)

    def plot(self, *, kind="spectrum", ax=None):
        """Draw the matrix.

        Parameters
        ----------
        kind : {"spectrum", "magnitude", "sparsity"}, default="spectrum"
            Absolute eigenvalues in falling order, the negative ones marked; log10 of the absolute entries;
            or, as figure 6 of arXiv:2405.00252, how the p%-sparsity of the rows is distributed for
            p = 50, 75, 90 and 95.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.

        Returns
        -------
        HessianDisplay
        """
        if kind not in self.KINDS:
            raise ValueError(f"`kind` must be one of {self.KINDS}; got {kind!r}")
        self.ax_, self.figure_ = _axes(ax)
        getattr(self, f"_draw_{kind}")()
        return self

    def _draw_spectrum(self):
        values = np.linalg.eigvalsh(self.matrix)
        values = values[np.argsort(-np.abs(values))]
        index = np.arange(1, values.size + 1)
        for name, where in (("positive", values >= 0), ("negative", values < 0)):
            if where.any():
                self.ax_.plot(index[where], np.abs(values[where]), ".", label=name)
        self.ax_.set(xlabel="index", ylabel="|eigenvalue|", yscale="log")
        self.ax_.legend()

    def _draw_magnitude(self):
        size = np.abs(self.matrix)
        floor = np.finfo(float).eps * (size.max() or 1.0)
        image = self.ax_.imshow(np.log10(np.maximum(size, floor)), interpolation="nearest")
        self.figure_.colorbar(image, ax=self.ax_, label="log10 |entry|")

    def _draw_sparsity(self):
        shares = (0.5, 0.75, 0.9, 0.95)
        rows = [np.asarray(oracle_sparsity(self.matrix, fraction=share)) for share in shares]
        self.ax_.hist(rows, bins=20, label=[f"{share:.0%}" for share in shares])
        self.ax_.set(xlabel="entries that hold this share of the row", ylabel="rows")
        self.ax_.legend()


def _axes(ax):
    """Return the axes to draw on and their figure, which has no part in any global state."""
    if ax is not None:
        return ax, ax.get_figure()
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('drawing needs matplotlib: pip install "qnewton_sk[plot]"') from error
    figure, ax = pyplot.subplots()
    return ax, figure
