"""The rules of an estimator by which the data of a fit are checked, encoded and split."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import check_X_y

Array = NDArray[Any]


@dataclass(frozen=True)
class Rules:
    """Rules for inputs, targets and weights, whether they lie in one array or in many.

    Parameters
    ----------
    checks : mapping of str to object
        Arguments of scikit-learn's `check_X_y`.
    check_targets : callable
        ``check_targets(y) -> y``, a dense array of one or two axes.
    check_weight : callable
        ``check_weight(weight, n_samples, dtype) -> ndarray or None``; weights may all be zero.
    encode : callable
        ``encode(y, dtype) -> targets`` of shape (n, K).
    codes : callable or None
        ``codes(targets) -> class numbers`` if the targets are one label per sample; None otherwise.
    has_labels : bool
        Whether targets of one axis are labels.
    """

    checks: Mapping[str, Any]
    check_targets: Callable[[Any], Array]
    check_weight: Callable[[Any, int, Any], Array | None]
    encode: Callable[[Array, Any], Array]
    codes: Callable[[Array], Array] | None
    has_labels: bool

    def checked(self, X: Any, y: Any, weight: Any, *, is_known: bool = False) -> tuple[Any, Array, Any]:
        """Return inputs, targets and weights after checks; `is_known` skips the test for finite values."""
        finite = {"ensure_all_finite": False} if is_known else {}
        with np.errstate(over="ignore", invalid="ignore"):  # scikit-learn looks for NaN by a sum
            X, y = check_X_y(X, y, multi_output=True, **self.checks, **finite)
        y = self.check_targets(y)
        return X, y, self.check_weight(weight, X.shape[0], X.dtype)

    def weighted(self, targets: Array, weight: Array | None, factors: Array | None) -> Array | None:
        """Return the weights of some samples, each times the factor of its class."""
        if factors is None or self.codes is None:
            return weight
        codes = self.codes(targets)
        ones = np.ones(len(codes), targets.dtype) if weight is None else weight
        return self.check_weight(ones * factors[codes], len(codes), targets.dtype)


def held_out_rows(weight, n_samples, validation_fraction, strata, random_state):
    """Return the indices of the samples to train on and of those held out, with classes in the same proportions.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,) or None
        Weights; samples of weight zero are in neither.
    n_samples : int
        Number of samples.
    validation_fraction : float
        Fraction of the samples that is held out.
    strata : ndarray of shape (n_samples,) or None
        Classes whose proportions are kept.
    random_state : RandomState
        Source of randomness for the split.

    Raises
    ------
    ValueError
        If the split leaves a class without samples, or holds out fewer than two.
    """
    rows = np.arange(n_samples) if weight is None else np.flatnonzero(weight)
    try:
        parts = train_test_split(
            rows,
            test_size=validation_fraction,
            stratify=None if strata is None else strata[rows],
            random_state=random_state,
        )
        reason = "fewer than 2 samples would be held out" if len(parts[1]) < 2 else None
    except ValueError as error:
        reason = str(error).rstrip(".")
    if reason is not None:
        raise ValueError(
            "`validation_fraction` must leave samples of every class to train on and to hold out; got "
            f"{validation_fraction!r} of {len(rows)} samples: {reason}. Change it, or pass X_val and y_val"
        )
    return parts


def _as_numbers(name, given, dtype):
    """Return real numbers as an array of this dtype."""
    try:
        numbers = np.asarray(given)
        if numbers.dtype.kind == "c":
            raise TypeError("complex numbers")
        with np.errstate(over="ignore"):
            cast = numbers.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must hold real numbers; got {type(given).__name__}: {error}") from error
    if numbers.dtype.kind == "f" and not np.array_equal(np.isfinite(numbers), np.isfinite(cast)):
        raise ValueError(
            f"`{name}` must be within the range of {cast.dtype}, the type of X; got {np.abs(numbers).max():g}. Scale "
            "the weights, or pass X as float64"
        )
    return cast


def check_sample_weight(sample_weight, n_samples, dtype, *, may_be_zero=False):
    """Return the weights as an array of shape (n_samples,), or None if all are one.

    Raises
    ------
    ValueError
        If they have another shape, are not finite, are negative, or are all zero.
    """
    if sample_weight is None:
        return None
    weight = _as_numbers("sample_weight", sample_weight, dtype)
    if weight.ndim == 0:
        weight = np.full(n_samples, weight)
    if weight.shape != (n_samples,):
        raise ValueError(
            f"`sample_weight` must have shape ({n_samples},), one number per sample; got shape {weight.shape}"
        )
    if not np.isfinite(weight).all():
        raise ValueError(
            "`sample_weight` must be finite; got NaN or inf. Drop these samples or give them weight 0"
        )
    if (weight < 0).any():
        raise ValueError(
            f"`sample_weight` must be >= 0; got {weight.min()}. Drop these samples or give them weight 0"
        )
    if not may_be_zero and not weight.any():
        raise ValueError("`sample_weight` must be positive for some sample; got zeros only")
    with np.errstate(over="ignore"):
        total = weight.sum(dtype=dtype)
    if not np.isfinite(total):
        raise ValueError(
            f"`sample_weight` must have a sum within the range of {np.dtype(dtype)}; got weights up to "
            f"{weight.max():g}. Scale them"
        )
    return None if (weight == 1).all() else weight


def check_penalty(alpha, total_weight, dtype):
    """Refuse a penalty that overflows when it is divided by the sum of the weights.

    Raises
    ------
    ValueError
        If `alpha` / `total_weight` is not a number of this dtype.
    """
    if not alpha <= float(np.finfo(dtype).max) * min(float(total_weight), 1.0):
        raise ValueError(
            f"`alpha` must be within the range of {np.dtype(dtype)} after division by the sum of the weights, "
            f"{float(total_weight):g}; got {alpha!r}"
        )
