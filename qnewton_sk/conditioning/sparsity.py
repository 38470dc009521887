"""Oracle sparsity: how many entries of a row carry a share of it, and how many a setting allows."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qnewton_sk.systems import scale_for

CHUNK_VALUES = 1 << 22
"""Maximum number of entries that are sorted at once: 32 MB of float64."""


def oracle_sparsity(H: Any, fraction: float | Sequence[float] = 0.5) -> NDArray[np.int_]:
    """Return, for each row, the minimum number of entries that hold a share of its absolute sum.

    Parameters
    ----------
    H : ndarray or scipy.sparse array of shape (n, m)
        The matrix.
    fraction : float or sequence of float in (0, 1], default=0.5
        The share, or several, which take one pass. The paper takes 0.5 to estimate d.

    Returns
    -------
    ndarray of int, of shape (n,) or (len(fraction), n)
        It is 0 for a row of zeros. Its maximum is the oracle sparsity d.

    Raises
    ------
    ValueError
        If a fraction is not in (0, 1], or H is not a finite matrix.

    References
    ----------
    arXiv:2405.00252, section V (p%-sparsity).

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import oracle_sparsity
    >>> H = np.array([[8.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    >>> oracle_sparsity(H, 0.5)
    array([1, 2, 0])
    >>> oracle_sparsity(H, [0.5, 0.9]).shape
    (2, 3)
    """
    H, shares = _finite_matrix(H), _checked_shares(fraction)
    counts = np.empty((shares.size, H.shape[0]), dtype=int)
    rows = max(1, CHUNK_VALUES // max(H.shape[1], 1))
    for start in range(0, H.shape[0], rows):
        part = H[start : start + rows]
        counts[:, start : start + rows] = row_counts(
            part.toarray() if sparse.issparse(part) else part, shares
        )
    return counts[0] if np.ndim(fraction) == 0 else counts


def row_counts(rows, shares):
    """Return the minimum number of entries of each dense row that reach each share of its absolute sum.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n)
        Real numbers of any type.
    shares : sequence of float

    Returns
    -------
    ndarray of int, of shape (len(shares), n_rows)
    """
    if rows.dtype not in (np.float32, np.float64):  # bool and unsigned integers have no negatives
        rows = rows.astype(np.float64)
    falling = -np.sort(-np.abs(rows), axis=1)
    scale = scale_for(float(falling[:, :1].max(initial=0.0)), rows.shape[1], np.float64)
    if scale != 1.0:  # the sums would overflow, or consist of denormal numbers
        falling = falling / scale
    sums = np.cumsum(falling, axis=1, dtype=float)
    total = sums[:, -1:] * (1 - rows.shape[1] * np.finfo(float).eps)  # rounding must not ask for one more
    counts = [(sums < share * total).sum(axis=1) + (total[:, 0] > 0) for share in shares]
    nonzeros = (falling > 0).sum(axis=1)
    return np.array([nonzeros if share == 1 else count for share, count in zip(shares, counts)])


def _checked_shares(fraction):
    try:
        shares = np.atleast_1d(np.asarray(fraction, dtype=float))
    except (TypeError, ValueError):
        shares = np.array([np.nan])
    if shares.ndim != 1 or not ((shares > 0) & (shares <= 1)).all():
        raise ValueError(f"`fraction` must be in (0, 1], or a sequence of such; got {fraction!r}")
    return shares


def _finite_matrix(H):
    H = sparse.csr_array(H) if sparse.issparse(H) else np.asarray(H)
    if H.ndim != 2:
        raise ValueError(f"`H` must be a matrix; got {H.ndim} dimensions")
    if H.dtype.kind not in "biuf" or not np.isfinite(H.data if sparse.issparse(H) else H).all():
        raise ValueError("`H` must hold finite real numbers; got NaN, inf or another type among its entries")
    return H


def resolve_row_limit(d, n, name="d"):
    """Return the nonzeros per row that a setting allows: an int as it is, a float as that share of n, at least 1.

    Parameters
    ----------
    d : int or float
        The setting.
    n : int
        Order of the matrix.
    name : str, default="d"
        Name of the parameter that the user has set.

    Raises
    ------
    ValueError
        If it is neither an int in [1, n] nor a float in (0, 1].
    """
    if isinstance(d, numbers.Integral) and not isinstance(d, bool) and 1 <= d <= n:
        return int(d)
    if isinstance(d, numbers.Real) and not isinstance(d, numbers.Integral) and 0 < d <= 1:
        return max(1, int(d * n + 1e-9))
    raise ValueError(
        f"`{name}` must be an int from 1 to n={n} (nonzeros per row) or a float in (0, 1] (share of n); got {d!r}"
    )
