"""Merging of equal samples into one with the sum of their weights: a weight of k then equals k repetitions."""

import numpy as np
from scipy import sparse

HASH_BYTES = 2**24
"""Temporary memory for hashing dense rows."""


def distinct_samples(X, targets, weight=None):
    """Merge equal samples and drop those of weight zero.

    Data that are equivalent, by weights or by repetitions, give the same arrays to the last bit, because the order
    of the merged samples then follows from their values. Unweighted samples that are all different are returned
    unchanged.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n, d)
        Inputs.
    targets : ndarray of shape (n, K)
        Encoded targets.
    weight : ndarray of shape (n,), default=None
        Nonnegative weights; by default all one.

    Returns
    -------
    X, targets, weight
        The arrays of m <= n samples; `weight` is None if all weights are one.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.data.duplicates import distinct_samples
    >>> X, y, weight = distinct_samples(np.array([[1.0], [2.0], [1.0]]), np.ones((3, 1)))
    >>> sorted(zip(X[:, 0].tolist(), weight.tolist()))
    [(1.0, 2.0), (2.0, 1.0)]
    """
    if weight is not None and not weight.all():
        rows = np.flatnonzero(weight)
        X, targets, weight = X[rows], targets[rows], weight[rows]
    if weight is not None and (weight == 1).all():
        weight = None
    key = _hash(X) + _hash(targets)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(_differs_from_previous(X, targets, order, key[order]))
    if weight is None and len(starts) == len(order):
        return X, targets, None
    weight = np.ones(len(order), X.dtype) if weight is None else weight
    rows = order[starts]
    return X[rows], targets[rows], np.add.reduceat(weight[order], starts)


def _hash(X):
    """Return one number per row, whatever its position in X, which a BLAS product does not guarantee."""
    direction = np.random.default_rng(0).standard_normal(X.shape[1])
    if sparse.issparse(X):
        return X @ direction
    size = max(1, HASH_BYTES // (8 * X.shape[1]))
    blocks = (np.ascontiguousarray(X[start : start + size]) for start in range(0, len(X), size))
    return np.concatenate([(block * direction).sum(axis=1) for block in blocks])


def _differs_from_previous(X, targets, order, key):
    """Return whether each sample in `order` differs from the one before; rows are compared only if hashes agree."""
    differs = np.ones(len(order), bool)
    same_key = np.flatnonzero(key[1:] == key[:-1])
    a, b = order[same_key], order[same_key + 1]
    differs[same_key + 1] = _rows_differ(X, a, b) | _rows_differ(targets, a, b)
    return differs


def _rows_differ(X, a, b):
    if not sparse.issparse(X):
        return (X[a] != X[b]).any(axis=1)
    return np.asarray(abs(X[a] - X[b]).sum(axis=1)).ravel() > 0
