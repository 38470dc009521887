"""Checks of the matrices that users hand in."""

import math

import numpy as np
from scipy import sparse

from .arrays import is_finite, max_abs

BLOCK_ROWS = 256
"""Rows compared with their mirror images at once: a block of columns of that width stays in the cache."""


def checked_symmetric(H, name="H", finite=True):
    """Return a user's matrix in float32 or float64, dense or CSR, and exactly symmetric.

    Parameters
    ----------
    H : array-like or sparse matrix of shape (n, n)
        Symmetric to within sqrt(machine epsilon) times its largest entry.
    name : str, default="H"
        Name of the parameter in the messages.
    finite : bool, default=True
        Whether NaN and inf are refused; otherwise they must stand in mirrored places.

    Returns
    -------
    ndarray or csr_array of shape (n, n)
        H itself if nothing had to be changed.

    Raises
    ------
    ValueError
        If it is not square, real, symmetric or, with `finite`, finite.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.systems.checks import checked_symmetric
    >>> checked_symmetric([[1, 2], [2, 1]])
    array([[1., 2.],
           [2., 1.]])
    """
    H = _checked_square(H, name)
    data = H.data if sparse.issparse(H) else H
    if not is_finite(data):
        if finite:
            raise ValueError(f"`{name}` must be finite; got NaN or inf among its entries")
        _check_mirrored_gaps(H, name)
        return H
    with np.errstate(over="ignore"):  # of a difference near the largest number, which is refused as inf
        asymmetry = _asymmetry(H)
    allowed = math.sqrt(np.finfo(H.dtype).eps) * max_abs(data)
    if asymmetry > allowed:
        raise ValueError(
            f"`{name}` must be symmetric to within {allowed:.3g}, sqrt(machine epsilon) times its largest "
            f"entry; got a difference of {asymmetry:.3g} to its transpose; pass ({name} + {name}.T) / 2"
        )
    return H if asymmetry == 0 else H / 2 + H.T / 2


def _checked_square(H, name):
    H = sparse.csr_array(H) if sparse.issparse(H) else np.asarray(H)
    if H.ndim != 2 or H.shape[0] != H.shape[1] or H.shape[0] < 1:
        raise ValueError(f"`{name}` must be a square matrix of order >= 1; got shape {H.shape}")
    if H.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must be a real matrix of numbers; got dtype {H.dtype}")
    if H.dtype not in (np.float32, np.float64):
        with np.errstate(over="ignore"):  # of a wider type, whose inf is refused later
            H = H.astype(np.float64)
    return H


def _asymmetry(H):
    if sparse.issparse(H):
        return float(abs(H - H.T).max())
    rows = range(0, H.shape[0], BLOCK_ROWS)
    blocks = ((H[i : i + BLOCK_ROWS, i:], H[i:, i : i + BLOCK_ROWS].T) for i in rows)
    return max(float(np.abs(upper - lower).max()) for upper, lower in blocks)


def _check_mirrored_gaps(H, name):
    gaps = ~np.isfinite(H.toarray() if sparse.issparse(H) else H)
    if (gaps != gaps.T).any():
        raise ValueError(f"`{name}` must be symmetric; got NaN or inf on one side of the diagonal alone")
