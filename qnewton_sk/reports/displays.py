"""Displays of the loss of a fit and of its Hessian."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qnewton_sk.conditioning import oracle_sparsity
from qnewton_sk.systems import checked_symmetric, must

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
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        One curve per fit.

    Examples
    --------
    >>> from qnewton_sk import LossCurveDisplay
    >>> display = LossCurveDisplay.from_history({"step": [1, 2, 3], "loss": [1.0, 0.1, 0.01]})
    >>> display.ax_.get_yscale()
    'log'
    """

    def __init__(self, histories: Mapping[Any, Mapping[str, Any]]) -> None:
        self.histories = histories

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, by: str = "step", ax: Any = None, **line: Any
    ) -> "LossCurveDisplay":
        """Draw the loss curve of a fitted estimator; see `plot` for the parameters."""
        return cls.from_history(history_of(estimator), name=name, by=by, ax=ax, **line)

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any], *, by: str = "step", ax: Any = None, **line: Any
    ) -> "LossCurveDisplay":
        """Draw the loss curves of several fitted estimators, a mapping of name to estimator."""
        return cls({name: history_of(est) for name, est in estimators.items()}).plot(by=by, ax=ax, **line)

    @classmethod
    def from_history(
        cls,
        history: Mapping[str, Any],
        *,
        name: str | None = None,
        by: str = "step",
        ax: Any = None,
        **line: Any,
    ) -> "LossCurveDisplay":
        """Draw the loss curve of one history; see `plot` for the parameters."""
        return cls({name: history}).plot(by=by, ax=ax, **line)

    def plot(self, *, by: str = "step", ax: Any = None, **line: Any) -> "LossCurveDisplay":
        """Draw the curves, on a logarithmic axis if all losses are positive.

        Parameters
        ----------
        by : {"step", "seconds"}, default="step"
            Horizontal axis: steps, or time since the start with modelled solves (see
            `modelled_total_seconds`).
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
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
        self.ax_, self.figure_ = resolve_axes(ax, layout="constrained")
        self.lines_ = [
            self.ax_.plot(
                ABSCISSAE[by](history), history["loss"], label=name, **_visible(history["loss"]) | line
            )[0]
            for name, history in self.histories.items()
        ]
        losses = np.concatenate(
            [np.zeros(0), *(np.asarray(h["loss"], float) for h in self.histories.values())]
        )
        set_title(self.ax_, f"Training loss by {'step' if by == 'step' else 'time'}")
        self.ax_.set(xlabel=ABSCISSA_LABELS[by], ylabel="training loss")
        if not losses.size:
            note_instead(self.ax_, "No step was taken.")
            return self
        if by == "step":
            whole_numbers(self.ax_)
        if (losses > 0).all():
            self.ax_.set_yscale("log")
        if any(self.histories):
            self.ax_.legend()
        return self


class HessianDisplay:
    """A Hessian drawn as its spectrum, as the magnitude of its entries, or as the sparsity of its rows.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        A symmetric matrix.
    layers : mapping of str to int, default=None
        Number of parameters of each layer by its name, in the order of the rows; drawn along the axes of the
        magnitudes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the display.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import HessianDisplay
    >>> HessianDisplay.from_matrix(np.diag([3.0, 2.0, 1.0])).ax_.get_ylabel()
    '|eigenvalue|'
    """

    KINDS = ("spectrum", "magnitude", "sparsity")

    def __init__(self, matrix: Any, layers: Mapping[str, int] | None = None) -> None:
        self.matrix = matrix
        self.layers = layers

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        curvature: Any = "hessian",
        kind: str = "spectrum",
        ax: Any = None,
    ) -> "HessianDisplay":
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
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        HessianDisplay
        """
        matrix = estimator.hessian(X, y, sample_weight=sample_weight, curvature=curvature)
        layers = {
            f"layer {number}": W.size + W.shape[1] for number, W in enumerate(estimator.coefs_, start=1)
        }
        return cls.from_matrix(matrix, layers=layers, kind=kind, ax=ax)

    @classmethod
    def from_matrix(
        cls,
        matrix: Any,
        *,
        layers: Mapping[str, int] | None = None,
        kind: str = "spectrum",
        ax: Any = None,
    ) -> "HessianDisplay":
        """Draw a symmetric matrix of shape (n, n); the parameters are those of the class and of `plot`."""
        return cls(checked_symmetric(matrix, "matrix"), layers).plot(kind=kind, ax=ax)

    def plot(self, *, kind: str = "spectrum", ax: Any = None) -> "HessianDisplay":
        """Draw the matrix.

        Parameters
        ----------
        kind : {"spectrum", "magnitude", "sparsity"}, default="spectrum"
            Absolute eigenvalues in decreasing order, with the negative ones marked; log10 of the absolute entries;
            or, as in figure 6 of arXiv:2405.00252, the distribution of the p%-sparsity of the rows for p = 50, 75,
            90 and 95.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        HessianDisplay
        """
        if kind not in self.KINDS:
            raise ValueError(f"`kind` must be one of {self.KINDS}; got {kind!r}")
        if self.layers and sum(self.layers.values()) != len(self.matrix):
            raise must("layers", f"hold {len(self.matrix)} parameters in all", self.layers)
        self.ax_, self.figure_ = resolve_axes(ax, layout="constrained")
        getattr(self, f"_draw_{kind}")()
        return self

    def _draw_spectrum(self) -> None:
        values = np.linalg.eigvalsh(self.matrix)
        values = values[np.argsort(-np.abs(values))]
        index = np.arange(1, values.size + 1)
        set_title(self.ax_, f"Spectrum of the Hessian, {values.size} eigenvalues")
        self.ax_.set(xlabel="index", ylabel="|eigenvalue|")
        groups = (("positive", values > 0, "o"), ("negative", values < 0, "X"))
        for name, where, marker in groups:
            if where.any():
                label = f"{name}: {np.count_nonzero(where)}"
                self.ax_.plot(index[where], np.abs(values[where]), marker, markersize=4, label=label)
        n_zero = np.count_nonzero(values == 0)
        if n_zero == values.size:
            note_instead(self.ax_, "All eigenvalues are zero.")
            return
        if n_zero:  # a logarithmic axis cannot show them
            self.ax_.plot([], [], linestyle="none", label=f"zero: {n_zero}")
        self.ax_.set_yscale("log")
        whole_numbers(self.ax_)
        self.ax_.legend()

    def _draw_magnitude(self) -> None:
        size = np.abs(self.matrix)
        floor = np.finfo(float).eps * (size.max() or 1.0)
        image = self.ax_.imshow(np.log10(np.maximum(size, floor)), interpolation="nearest")
        self.figure_.colorbar(image, ax=self.ax_, label="log10 |entry|")
        set_title(self.ax_, "Entries of the Hessian")
        self.ax_.set(xlabel="parameter", ylabel="parameter")
        if self.layers:
            self._name_layers(list(self.layers), list(self.layers.values()))

    def _name_layers(self, names: Sequence[str], sizes: Sequence[int]) -> None:
        """Write the name of each layer at the middle of its rows and columns, with lines between the layers."""
        ends = np.cumsum(sizes)
        middles = ends - np.asarray(sizes) / 2 - 0.5  # entry i reaches from i - 0.5 to i + 0.5
        for end in ends[:-1]:
            self.ax_.axhline(end - 0.5, color="white", linewidth=0.8)
            self.ax_.axvline(end - 0.5, color="white", linewidth=0.8)
        self.ax_.set_xticks(middles, names, rotation=45, ha="right", rotation_mode="anchor")
        self.ax_.set_yticks(middles, names)
        self.ax_.set(xlabel="parameters, by layer", ylabel="parameters, by layer")

    def _draw_sparsity(self) -> None:
        shares = (0.5, 0.75, 0.9, 0.95)
        rows = [np.asarray(oracle_sparsity(self.matrix, fraction=share)) for share in shares]
        self.ax_.hist(rows, bins=20, label=[f"{share:.0%}" for share in shares])
        set_title(self.ax_, "Sparsity of the rows of the Hessian")
        self.ax_.set(xlabel="entries that hold this share of the row", ylabel="rows")
        self.ax_.legend(title="share")


def _visible(values: Any) -> dict[str, Any]:
    """Return settings of a curve; a single point makes no line, and needs a mark."""
    return {"marker": "o"} if len(values) == 1 else {}


def set_title(ax: Any, title: str) -> None:
    """Set the title of axes that have none."""
    if not ax.get_title():
        ax.set_title(title)


def whole_numbers(ax: Any) -> None:
    """Put the ticks of a linear horizontal axis at whole numbers."""
    if ax.get_xscale() == "linear":
        ax.xaxis.get_major_locator().set_params(integer=True)


def note_instead(ax: Any, note: str) -> None:
    """Write in the middle of empty axes why they are empty."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, note, transform=ax.transAxes, ha="center", va="center")


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
