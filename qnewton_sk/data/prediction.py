"""Predictions on dask arrays, computed lazily chunk by chunk, and scores as sums over chunks."""

import copy
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dask_arrays import aligned, as_column, checked_array, is_dask, row_blocks
from .graph import tree

Array = NDArray[Any]


def lazily(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method of X and further settings so that it also takes dask arrays.

    For a dask array the result is a dask array in the same chunks of rows, computed with the model as it is at the
    time of the call. A method that returns a tuple then returns a tuple of dask arrays.
    """

    @wraps(method)
    def predict(self: Any, X: Any, *arguments: Any, **settings: Any) -> Any:
        if not is_dask(X):
            return method(self, X, *arguments, **settings)
        X = checked_array("X", X, (2,))
        model = copy.copy(self)
        example = method(model, np.zeros((1, X.shape[1]), _float_type(X.dtype)), *arguments, **settings)
        call = _Call(model, method.__name__, arguments, settings, example)
        if not isinstance(example, tuple):
            return _mapped(X, call, example)
        together = _mapped(X, call, np.stack(example, axis=-1))
        return tuple(together[..., k] for k in range(len(example)))

    return predict


class _Call:
    """A method of a fitted model on one block of rows."""

    def __init__(self, model: Any, name: str, arguments: Any, settings: Any, example: Any):
        self.model, self.name, self.arguments, self.settings = model, name, arguments, settings
        self.empty = _stacked(example)[:0]

    def __call__(self, X: Any) -> Array:
        """Return the result, with the items of a tuple along a last axis; it has no rows if X has none."""
        if not X.shape[0]:
            return self.empty
        return _stacked(getattr(self.model, self.name)(X, *self.arguments, **self.settings))


def _stacked(result: Any) -> Array:
    return np.stack(result, axis=-1) if isinstance(result, tuple) else np.asarray(result)


def _mapped(X: Any, call: _Call, example: Array) -> Any:
    """Return the dask array of `call` on the blocks of X, with rows of the shape and type of `example`."""
    import dask
    import dask.array as da

    apply = dask.delayed(_apply, pure=False)
    shared = dask.delayed(call, pure=False, traverse=False)
    width = example.shape[1:]
    blocks = [
        da.from_delayed(apply(shared, block), (rows, *width), meta=example[:0])
        for block, rows in zip(row_blocks(X), X.chunks[0])
    ]
    return da.concatenate(blocks, axis=0, allow_unknown_chunksizes=True)


def _apply(call: _Call, X: Any) -> Array:
    return call(X)


def _float_type(dtype: Any) -> Any:
    return dtype if dtype in (np.float32, np.float64) else np.float64


def scores_dask(score: Callable[..., float]) -> Callable[..., float]:
    """Decorate the method `score` so that it also takes dask arrays, by summing over their chunks."""

    @wraps(score, assigned=("__name__", "__doc__"))
    def score_of_any(self: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        if is_dask(X):
            return summed_score(self, X, y, sample_weight)
        return score(self, X, y, sample_weight)

    del score_of_any.__wrapped__  # type: ignore[attr-defined]  # the wrapped signature is not annotated
    return score_of_any


def summed_score(model: Any, X: Any, y: Any, sample_weight: Any) -> float:
    """Return the score of a fitted model on dask arrays: accuracy for a classifier, R^2 for a regressor.

    Every block returns the moments of its targets and residuals, which are merged pairwise (Chan, Golub and LeVeque
    1979, "Updating formulae and a pairwise algorithm for computing sample variances"), so that neither data nor
    predictions are gathered.

    Parameters
    ----------
    model : estimator
        Fitted estimator with `predict`.
    X : dask.array.Array of shape (n, d)
        Inputs.
    y : dask.array.Array or array-like of shape (n,) or (n, K)
        Targets.
    sample_weight : array-like of shape (n,) or None
        Weights.
    """
    X = checked_array("X", X, (2,))
    arrays = {"y": y} if sample_weight is None else {"y": y, "sample_weight": sample_weight}
    columns = [row_blocks(X)]
    for name, data in arrays.items():
        data = aligned(name, data if is_dask(data) else np.asarray(data), X)
        columns.append(row_blocks(as_column(checked_array(name, data, (1, 2)))))
    if sample_weight is None:
        columns.append([None] * len(columns[0]))
    moments = tree(_moments, list(zip(*columns)), copy.copy(model), _merged_moments)
    if moments is None:
        raise ValueError(f"`X` must hold at least one sample; got shape {X.shape} with empty chunks only")
    weight, mean, squares, residuals = moments
    if hasattr(model, "classes_"):
        return float(residuals[0] / weight)
    return _r2(squares, residuals)


def _moments(block: Sequence[Any], model: Any) -> Any:
    """Return total weight, means and sums of squares of the targets, and squared residuals or correct labels."""
    X, y, weight = block
    if not X.shape[0]:
        return None
    weight = np.ones(X.shape[0]) if weight is None else np.asarray(weight, float)
    prediction = model.predict(X)
    if hasattr(model, "classes_"):
        right = prediction == np.asarray(y)
        right = right.all(axis=1) if right.ndim == 2 else right
        return weight.sum(), np.zeros(1), np.zeros(1), np.array([weight @ right])
    y = np.asarray(y, float).reshape(len(weight), -1)
    total = weight.sum()
    mean = weight @ y / total if total else np.zeros(y.shape[1])
    residuals = y - prediction.reshape(y.shape)
    return total, mean, weight @ (y - mean) ** 2, weight @ residuals**2


def _merged_moments(terms: Sequence[Any]) -> Any:
    total = None
    for term in terms:
        if total is None or term is None:
            total = term if total is None else total
            continue
        (w, m, s, r), (w2, m2, s2, r2) = total, term
        both = w + w2
        shift = m2 - m
        ratio = w2 / both if both else 0.0
        total = both, m + ratio * shift, s + s2 + w * ratio * shift**2, r + r2
    return total


def _r2(squares: Array, residuals: Array) -> float:
    """Return the mean R^2 over the outputs; for a constant output 1.0 if it is predicted exactly, otherwise 0.0."""
    constant = squares == 0
    scores = 1 - residuals / np.where(constant, 1.0, squares)
    scores[constant] = np.where(residuals[constant] == 0, 1.0, 0.0)
    return float(scores.mean())
