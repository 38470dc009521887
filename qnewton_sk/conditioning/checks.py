"""Checks of the matrices that users hand in."""

import math

import numpy as np
from scipy import sparse


def checked_symmetric(H, name="H"):
    """Return H in float32 or float64, dense or CSR, exactly symmetric; ValueError where it is not."""
    H = _checked_square(H, name)
    asymmetry, scale = _asymmetry(H), abs(H).max()
    allowed = math.sqrt(np.finfo(H.dtype).eps) * float(scale)
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
        H = H.astype(np.float64)
    if not np.isfinite(H.data if sparse.issparse(H) else H).all():
        raise ValueError(f"`{name}` must be finite; got NaN or inf among its entries")
    return H


def _asymmetry(H):
    if sparse.issparse(H):
        return float(abs(H - H.T).max())
    rows = range(0, H.shape[0], 256)
    return max(float(np.abs(H[i : i + 256, i:] - H[i:, i : i + 256].T).max()) for i in rows)
