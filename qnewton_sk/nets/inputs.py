"""Inputs of a layer with a row of ones for the intercepts: dense with units first, or sparse with samples first."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

Array = NDArray[Any]


def with_ones(X: Any, dtype: DTypeLike) -> Any:
    """Return abar = [X^T; 1] of shape (h + 1, n) for an ndarray X of shape (n, h), or [X, 1] for a sparse one.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.nets.inputs import with_ones
    >>> with_ones(np.array([[2.0], [3.0]]), float)
    array([[2., 3.],
           [1., 1.]])
    """
    if sparse.issparse(X):
        return sparse.hstack([X, np.ones((X.shape[0], 1), dtype)], format="csr", dtype=dtype)
    out = np.empty((X.shape[1] + 1, X.shape[0]), dtype)
    out[:-1] = X.T
    out[-1] = 1
    return out


def weighted_inputs(abar: Any, W: Array, out: Array | None = None) -> Array:
    """Return W^T abar of shape (units, samples), for W of shape (h + 1, units)."""
    if isinstance(abar, np.ndarray):
        return np.dot(W.T, abar, out=out)
    return np.ascontiguousarray((abar @ W).T)


def outer_product(abar: Any, delta: Array, out: Array | None = None) -> Array:
    """Return sum_n abar_n delta_n^T of shape (h + 1, units), for delta of shape (units, samples)."""
    if isinstance(abar, np.ndarray):
        return np.dot(abar, delta.T, out=out)
    product = abar.T @ delta.T
    if out is None:
        return product
    out[...] = product
    return out


def inputs_of_samples(abar: Any, rows: slice) -> Any:
    """Return abar of some of the samples, dense or sparse as it is."""
    return abar[:, rows] if isinstance(abar, np.ndarray) else abar[rows]


def dense_inputs(abar: Any, rows: slice) -> Array:
    """Return abar of some of the samples as an ndarray of shape (h + 1, samples)."""
    part = inputs_of_samples(abar, rows)
    return part if isinstance(part, np.ndarray) else np.ascontiguousarray(part.toarray().T)
