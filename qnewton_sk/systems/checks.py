"""Checks of the numbers and matrices that users pass, and the context that names the source of their exceptions."""

import math
from numbers import Integral, Real

import numpy as np
from scipy import sparse

from .arrays import is_finite, max_abs

BLOCK_ROWS = 256
"""Rows compared with their mirror images at once: a block of columns of that width stays in the cache."""


def must(name, expected, got):
    """Return the ValueError for a wrong value of a parameter.

    Parameters
    ----------
    name : str
        The name, which is put in backquotes; text after " of " says whose parameter it is.
    expected : str
        What it must be, from the verb on.
    got : object
        What it is.

    Examples
    --------
    >>> from qnewton_sk.systems import must
    >>> must("damping of a TrustRegion", "be a finite number >= 0", -1.0)
    ValueError('`damping` of a TrustRegion must be a finite number >= 0; got -1.0')
    """
    parameter, of, owner = name.partition(" of ")
    return ValueError(f"`{parameter}`{of}{owner} must {expected}; got {got!r}")


def is_int(value):
    """Return whether `value` is an integer and not a bool."""
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def is_real(value):
    """Return whether `value` is a real number that a float holds, finite and not a bool."""
    if type(value) is float:  # most are, and an abstract class is slow to ask
        return math.isfinite(value)
    try:
        return isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and math.isfinite(value)
    except OverflowError:  # an int beyond the range of floats
        return False


def is_bool(value):
    """Return whether `value` is True or False, of Python or of numpy."""
    return isinstance(value, (bool, np.bool_))


class fault_of:
    """Context in which code of a user runs: an exception from it gets a note that says where it comes from.

    An exception that says so already is left as it is: one with a note, or with a message that begins with the name
    of a parameter in backquotes, as those of this package do.

    Parameters
    ----------
    part : str
        What has been called, with the name of its parameter in backquotes.

    Examples
    --------
    >>> from qnewton_sk.systems import fault_of
    >>> try:
    ...     with fault_of("`solver` of the backend 'mine'"):
    ...         1 / 0
    ... except ZeroDivisionError as error:
    ...     error.__notes__
    ["This was raised by `solver` of the backend 'mine'."]
    """

    __slots__ = ("part",)

    def __init__(self, part):
        self.part = part

    def __enter__(self):
        """Enter the context."""

    def __exit__(self, kind, error, traceback):
        """Add the note."""
        if error is None:
            return
        is_named = hasattr(error, "__notes__") or str(error).startswith("`")
        if isinstance(error, Exception) and not is_named:
            error.__notes__ = [f"This was raised by {self.part}."]  # add_note came with Python 3.11


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
    given, H = H, sparse.csr_array(H) if sparse.issparse(H) else np.asarray(H)
    if H.ndim != 2 or H.shape[0] != H.shape[1] or H.shape[0] < 1:
        got = f"shape {H.shape}" if H.ndim else repr(given)
        raise ValueError(f"`{name}` must be a square matrix of order >= 1; got {got}")
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
        raise ValueError(f"`{name}` must be symmetric; got NaN or inf on only one side of the diagonal")
