"""Tables and plots over the records of a fit and over its Hessian."""

import numpy as np

from qnewton_sk.conditioning import oracle_sparsity
from qnewton_sk.systems import checked_symmetric

from .tables import TIMES, check_columns, history_of, modelled_total_seconds

ABSCISSAE = {
    "step": lambda history: np.asarray(history["step"]),
    "seconds": lambda history: np.cumsum(modelled_total_seconds(history)),
}
ABSCISSA_COLUMNS = {"step": ("step",), "seconds": TIMES}
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
        return cls.from_history(history_of(estimator), name=name, by=by, ax=ax, **line)

    @classmethod
    def from_estimators(cls, estimators, *, by="step", ax=None, **line):
        """Draw the loss curves of several fitted estimators, a mapping of name to estimator."""
        return cls({name: history_of(est) for name, est in estimators.items()}).plot(by=by, ax=ax, **line)

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
        for history in self.histories.values():
            check_columns(history, ("loss", *ABSCISSA_COLUMNS[by]))
        self.ax_, self.figure_ = resolve_axes(ax)
        self.lines_ = [
            self.ax_.plot(ABSCISSAE[by](history), history["loss"], label=name, **line)[0]
            for name, history in self.histories.items()
        ]
        self.ax_.set(xlabel=ABSCISSA_LABELS[by], ylabel="training loss", yscale="log")
        if any(self.histories):
            self.ax_.legend()
        return self


SCHEDULE_COLUMNS = "step", "phase", "backend", "classical_cost", "quantum_cost", "modelled_seconds"
"""Columns of the history that show in a `ScheduleDisplay`."""


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
        return cls.from_history(history_of(estimator), ax=ax)

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
        check_columns(self.history, SCHEDULE_COLUMNS)
        self.ax_, self.figure_ = resolve_axes(ax)
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
        return cls(checked_symmetric(matrix, "matrix")).plot(kind=kind, ax=ax)

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
        self.ax_, self.figure_ = resolve_axes(ax)
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


def resolve_axes(ax, **figure_settings):
    """Return the axes to draw on and their figure: those given, or new ones with these settings of `plt.subplots`."""
    if ax is not None:
        return ax, ax.get_figure()
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('drawing needs matplotlib: pip install "qnewton_sk[plot]"') from error
    figure, ax = pyplot.subplots(**figure_settings)
    return ax, figure
