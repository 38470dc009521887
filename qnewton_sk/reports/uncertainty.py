"""Displays of the uncertainty of a fit: bands, calibration, relevance of inputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfinv
from sklearn.utils.validation import check_is_fitted

from .displays import resolve_axes

Array = NDArray[Any]

LEVELS = np.linspace(0.05, 0.95, 19)
"""Nominal coverages that a calibration curve compares with the observed ones."""

MIN_PENALTY_RATIO = 1e3
"""Minimum ratio of the penalties of two inputs for which the axis is logarithmic."""


class UncertaintyDisplay:
    """A band over one input, the coverage of bands, or the reliability of probabilities.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        The curve to draw: an input and the prediction, nominal and observed coverage, or confidence and accuracy.
    kind : {"band", "calibration", "reliability"}, default="band"
        Meaning of the curve.
    std : ndarray of shape (n,), default=None
        Standard deviations of a band.
    counts : ndarray of shape (n,), default=None
        Number of samples in each bin of a reliability diagram.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the drawing.
    figure_ : matplotlib Figure
        Figure of the axes.
    line_ : matplotlib Line2D
        The curve.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : Reliability of one class of any classifier.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import QNewtonRegressor, UncertaintyDisplay
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> y = np.sin(3 * X[:, 0]) + np.random.default_rng(0).normal(0, 0.1, 40)
    >>> net = QNewtonRegressor((6,), alpha="evidence", posterior="full", random_state=0).fit(X, y)
    >>> UncertaintyDisplay.from_estimator(net, X).ax_.get_ylabel()
    'prediction'
    """

    KINDS = ("band", "calibration", "reliability")

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        kind: str = "band",
        std: Any = None,
        counts: Any = None,
    ) -> None:
        self.x = x
        self.y = y
        self.kind = kind
        self.std = std
        self.counts = counts

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        kind: str | None = None,
        n_bins: int = 10,
        ax: Any = None,
        **line: Any,
    ) -> "UncertaintyDisplay":
        """Draw the uncertainty of a fitted estimator.

        Parameters
        ----------
        estimator : QNewtonRegressor or classifier
            Fitted estimator; a regressor must have been fitted with `posterior`.
        X : array-like of shape (n_samples, n_features)
            Inputs: a grid for a band, test samples otherwise.
        y : array-like of shape (n_samples,), default=None
            Targets of test samples; not needed for a band.
        kind : {"band", "calibration", "reliability"}, default=None
            "band" shows two standard deviations on each side of the prediction over a single input, "calibration"
            the share of targets within bands of 5 to 95 %, "reliability" the accuracy of a classifier at each
            confidence. The default is "band" without y, else "reliability" for a classifier and "calibration" for a
            regressor.
        n_bins : int, default=10
            Number of bins of confidence of a reliability diagram.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
        **line : dict
            Passed to `Axes.plot`.

        Returns
        -------
        UncertaintyDisplay

        Raises
        ------
        ValueError
            If `kind` does not match the data.
        """
        if kind is None:
            found = "reliability" if hasattr(estimator, "predict_proba") else "calibration"
            kind = "band" if y is None else found
        if kind not in cls.KINDS:
            raise ValueError(f"`kind` must be one of {cls.KINDS}; got {kind!r}")
        if kind != "band" and y is None:
            raise ValueError(f"`y` must be the targets of X for kind={kind!r}; got None")
        if kind == "reliability":
            return cls.from_predictions(
                y, estimator.predict_proba(X), estimator.classes_, n_bins, ax=ax, **line
            )
        mean, std = estimator.predict(X, return_std=True)
        if kind == "calibration":
            return cls.from_bands(y, mean, std, ax=ax, **line)
        if np.shape(X)[1] != 1:
            raise ValueError(f'`X` must have one feature for kind="band"; got {np.shape(X)[1]}')
        order = np.argsort(np.asarray(X)[:, 0], kind="stable")
        return cls(np.asarray(X)[order, 0], mean[order], std=std[order]).plot(ax=ax, **line)

    @classmethod
    def from_bands(cls, y: Any, mean: Any, std: Any, *, ax: Any = None, **line: Any) -> "UncertaintyDisplay":
        """Draw how many targets lie within the central bands of normal predictions; see `plot`."""
        score = np.abs(np.asarray(y) - mean) / std
        widths = np.sqrt(2.0) * erfinv(LEVELS)
        observed = np.array([float(np.mean(score <= width)) for width in widths])
        return cls(LEVELS, observed, kind="calibration").plot(ax=ax, **line)

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        probabilities: Any,
        classes: Any = None,
        n_bins: int = 10,
        *,
        ax: Any = None,
        **line: Any,
    ) -> "UncertaintyDisplay":
        """Draw how often the most probable class is right, over bins of its probability; see `plot`.

        The bins are those of the expected calibration error (Naeini, Cooper and Hauskrecht 2015).
        """
        probabilities = np.asarray(probabilities)
        classes = np.arange(probabilities.shape[1]) if classes is None else classes
        confidence, best = probabilities.max(axis=1), probabilities.argmax(axis=1)
        right = np.asarray(classes)[best] == np.asarray(y)
        bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
        counts = np.bincount(bins, minlength=n_bins)
        filled = counts > 0
        means = [np.bincount(bins, v, n_bins)[filled] / counts[filled] for v in (confidence, right)]
        return cls(*means, kind="reliability", counts=counts[filled]).plot(ax=ax, **line)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of a reliability diagram; the mean gap of a calibration curve."""
        return float(np.average(np.abs(np.asarray(self.x) - self.y), weights=self.counts))

    def plot(self, *, ax: Any = None, **line: Any) -> "UncertaintyDisplay":
        """Draw the curve; a diagonal shows perfect calibration.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
        **line : dict
            Passed to `Axes.plot`.

        Returns
        -------
        UncertaintyDisplay
        """
        self.ax_, self.figure_ = resolve_axes(ax)
        marker = {} if self.kind == "band" else {"marker": "o"}
        (self.line_,) = self.ax_.plot(self.x, self.y, **{**marker, **line})
        if self.kind == "band":
            low, high = self.y - 2 * self.std, self.y + 2 * self.std
            self.ax_.fill_between(self.x, low, high, alpha=0.25, color=self.line_.get_color(), linewidth=0)
            self.ax_.set(xlabel="input", ylabel="prediction")
            return self
        self.ax_.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
        labels = {
            "calibration": ("nominal coverage", "observed coverage"),
            "reliability": ("confidence", "accuracy"),
        }
        self.ax_.set(xlabel=labels[self.kind][0], ylabel=labels[self.kind][1])
        return self


class RelevanceDisplay:
    """Relevance of the inputs: the standard deviation of their weights under the prior that the evidence found.

    Parameters
    ----------
    penalties : ndarray of shape (n_features,)
        Penalty of each input, `alpha_per_input_` of a fitted estimator.
    names : sequence of str, default=None
        Names of the inputs.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the drawing.
    figure_ : matplotlib Figure
        Figure of the axes.
    bars_ : matplotlib BarContainer
        One bar per input.

    Examples
    --------
    >>> from qnewton_sk import RelevanceDisplay
    >>> RelevanceDisplay([1.0, 4.0]).plot().relevance
    array([1. , 0.5])
    """

    def __init__(self, penalties: Any, names: Sequence[str] | None = None) -> None:
        self.penalties = penalties
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, names: Sequence[str] | None = None, ax: Any = None, **bars: Any
    ) -> "RelevanceDisplay":
        """Draw the relevance of the inputs of a fitted estimator.

        Parameters
        ----------
        estimator : QNewtonClassifier or QNewtonRegressor
            Fitted with ``alpha="evidence_per_input"``.
        names : sequence of str, default=None
            Names of the inputs; by default `feature_names_in_` or numbers.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
        **bars : dict
            Passed to `Axes.barh`.

        Returns
        -------
        RelevanceDisplay

        Raises
        ------
        ValueError
            If the estimator was not fitted with one penalty per input.
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(estimator)
        penalties = getattr(estimator, "alpha_per_input_", None)
        if penalties is None:
            raise ValueError(
                '`alpha` must be "evidence_per_input" in the fit, so that each input has a penalty; got '
                f"{estimator.alpha!r}"
            )
        names = getattr(estimator, "feature_names_in_", None) if names is None else names
        return cls(penalties, names).plot(ax=ax, **bars)

    @property
    def relevance(self) -> Array:
        """Prior scale of the weights of each input, 1 / sqrt(penalty), relative to the largest."""
        scale = 1 / np.sqrt(np.asarray(self.penalties, float))
        return scale / scale.max()

    def plot(self, *, ax: Any = None, **bars: Any) -> "RelevanceDisplay":
        """Draw one bar per input, the first one at the top, on a logarithmic axis if they differ much.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
        **bars : dict
            Passed to `Axes.barh`.

        Returns
        -------
        RelevanceDisplay
        """
        self.ax_, self.figure_ = resolve_axes(ax)
        relevance = self.relevance
        names = [str(i) for i in range(len(relevance))] if self.names is None else list(self.names)
        self.bars_ = self.ax_.barh(range(len(relevance)), relevance, **bars)
        self.ax_.set_yticks(range(len(relevance)), names)
        self.ax_.invert_yaxis()
        if relevance.min() ** -2 > MIN_PENALTY_RATIO:
            self.ax_.set_xscale("log")
        self.ax_.set(xlabel="relevance: prior scale of the weights", ylabel="input")
        return self
