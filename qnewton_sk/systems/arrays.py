"""Operations on vectors and symmetric matrices that hold at any scale: lengths, products, finiteness."""

import math
from functools import lru_cache

import numpy as np
from scipy.linalg import blas

_SYMV = {np.dtype(np.float32): blas.ssymv, np.dtype(np.float64): blas.dsymv}


@lru_cache(maxsize=8)  # numpy looks the limits up anew at every call
def _limits(dtype):
    """Smallest normal number, largest number and rounding error of a dtype, and its extreme exponents."""
    limits = np.finfo(dtype)
    numbers = float(limits.tiny), float(limits.max), float(limits.eps)
    return *numbers, int(limits.minexp), int(limits.maxexp)


def symmetric_product(H, v):
    """Return H v for a symmetric matrix H; reading one triangle takes half the time of reading both.

    Parameters
    ----------
    H : ndarray or sparse array of shape (n, n)
        Symmetric.
    v : ndarray of shape (n,) or (n, k)
        One vector or several.

    Returns
    -------
    ndarray of the shape of v

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.systems.arrays import symmetric_product
    >>> symmetric_product(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 1.0]))
    array([3., 4.])
    """
    symv = _SYMV.get(H.dtype) if isinstance(H, np.ndarray) and v.ndim == 1 and v.dtype == H.dtype else None
    if symv is None or not (H.flags.c_contiguous and len(v)):
        return H @ v
    return symv(1.0, H.T, v, lower=1)  # the transpose is in Fortran order at no copy


def is_finite(A):
    """Return whether all entries of an array are finite, in one pass over it if they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = A.sum()
    return bool(np.isfinite(total)) or bool(np.isfinite(A).all())


def euclidean_norm(v):
    """Return the Euclidean norm of a vector, whose square may overflow or underflow.

    Solvers call it under ``numpy.errstate(over="ignore", invalid="ignore")``: entering that here would take longer
    than the norm of a short vector.

    Parameters
    ----------
    v : ndarray of shape (n,)

    Returns
    -------
    float
        NaN or inf if an entry is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.systems.arrays import euclidean_norm
    >>> euclidean_norm(np.array([3e-200, 4e-200]))
    5e-200
    """
    tiny, _, eps, *_ = _limits(v.dtype)
    square = float(v @ v)
    if tiny / eps < square < math.inf:
        return math.sqrt(square)
    largest = float(np.abs(v).max(initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    scaled = v.astype(float) / largest
    return largest * math.sqrt(scaled @ scaled)


def scale_of(A):
    """Return a power of two near the largest magnitude in A if squares of A leave the range of its dtype, else 1.

    Dividing by it loses no digit.

    Parameters
    ----------
    A : ndarray
        With finite entries.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.systems.arrays import scale_of
    >>> scale_of(np.array([3.0])), scale_of(np.array([2.0**-700])) == 2.0**-699
    (1.0, True)
    """
    return scale_for(max_abs(A), A.size, A.dtype)


def max_abs(A):
    """Return the largest magnitude in an array, without a copy of it."""
    return max(float(A.max(initial=0.0)), -float(A.min(initial=0.0)))


def scale_for(largest, size, dtype):
    """Return `scale_of` an array with this number of entries, dtype and largest magnitude."""
    tiny, huge, eps, *_ = _limits(np.dtype(dtype))
    low, high = math.sqrt(tiny) / eps, math.sqrt(huge) / max(size, 1)
    return 1.0 if low < largest < high else power_of_two(largest, dtype)


def power_of_two(largest, dtype):
    """Return a power of two near a magnitude; both it and its inverse are within the range of the dtype.

    It is 1 for a magnitude of zero, NaN or inf.
    """
    if not 0 < largest < math.inf:
        return 1.0
    *_, lowest, highest = _limits(np.dtype(dtype))
    exponent = min(max(math.frexp(largest)[1], lowest), highest - 2)
    return math.ldexp(1.0, exponent)
