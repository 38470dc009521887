"""Greedy symmetric pruning of a matrix to a given number of entries per row."""

from typing import Any

import numpy as np
from scipy import sparse

from qnewton_sk.systems import checked_symmetric, is_bool, is_real, max_abs, must, scale_for

from .sparsity import resolve_row_limit


def prune_symmetric(
    H: Any,
    d: int | float | None = None,
    *,
    keep: float | None = None,
    keep_diagonal: bool = False,
    output: str = "auto",
) -> Any:
    """Keep the largest entries of a symmetric matrix, at most d in each row, symmetrically.

    All entries are visited by falling magnitude; an entry is taken together with its mirror image as long as
    both rows have room. Equal magnitudes are visited in the order of (row, column) in the upper triangle.

    Parameters
    ----------
    H : ndarray or scipy.sparse array of shape (n, n)
        Symmetric; once this is checked, only the upper triangle is read.
    d : int or float, default=None
        Nonzeros per row: an int from 1 to n, or a float in (0, 1] as share of n.
    keep : float in (0, 1], default=None
        In place of d: the smallest d that keeps this share of the Frobenius norm, found by bisection (it suffices
        and d - 1 does not).
    keep_diagonal : bool, default=False
        Visit the diagonal first, so that a multiple of the identity adds no nonzero.
    output : {"auto", "dense", "csr"}, default="auto"
        Type of the result; "auto" is that of H.

    Returns
    -------
    ndarray or scipy.sparse.csr_array of shape (n, n)
        Symmetric to the bit. It may be indefinite even if H is definite.

    Raises
    ------
    ValueError
        If H is empty, not square, not symmetric or not finite, or not exactly one of d and keep is given.

    References
    ----------
    arXiv:2405.00252, section V (symmetry-aware pruning).

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import prune_symmetric
    >>> H = np.array([[5.0, 4.0, 3.0], [4.0, 1.0, 2.0], [3.0, 2.0, 6.0]])
    >>> prune_symmetric(H, 2)
    array([[5., 4., 0.],
           [4., 0., 2.],
           [0., 2., 6.]])
    """
    if (d is None) == (keep is None):
        raise ValueError(f"exactly one of `d` and `keep` must be given; got d={d!r}, keep={keep!r}")
    if output not in ("auto", "dense", "csr"):
        raise ValueError(f'`output` must be "auto", "dense" or "csr"; got {output!r}')
    if not is_bool(keep_diagonal):
        raise must("keep_diagonal", "be True or False", keep_diagonal)
    H = checked_symmetric(H)
    if keep is not None:
        d = _smallest_limit(H, _checked_share(keep), keep_diagonal)
    rows, columns = greedy_pairs(H, resolve_row_limit(d, H.shape[0]), keep_diagonal)
    dense = output == "dense" or (output == "auto" and not sparse.issparse(H))
    return pruned_entries(H, rows, columns, dense)


def _checked_share(keep):
    if not (is_real(keep) and 0 < keep <= 1):
        raise must("keep", "be a float in (0, 1] (share of the Frobenius norm)", keep)
    return float(keep)


def _smallest_limit(H, share, keep_diagonal):
    """The smallest d that keeps a share of the Frobenius norm, by bisection."""
    n, data = H.shape[0], H.data if sparse.issparse(H) else H
    scale = scale_for(max_abs(data), data.size, np.float64)
    if scale != 1.0:  # squares would overflow or underflow; the order of the magnitudes stays
        H, data = H / scale, data / scale
    enough = share**2 * float(np.square(data, dtype=float).sum()) * (1 - n * np.finfo(float).eps)

    def suffices(d):
        rows, columns = greedy_pairs(H, d, keep_diagonal)
        squares = np.square(_values(H, rows, columns), dtype=float)
        return squares.sum() + squares[rows != columns].sum() >= enough

    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _values(H, rows, columns):
    values = H[rows, columns]
    return (values.toarray() if sparse.issparse(values) else values).ravel()


def pruned_entries(H, rows, columns, dense):
    """Return the taken entries and their mirror images as an ndarray or csr_array of shape (n, n)."""
    n, values = H.shape[0], _values(H, rows, columns)
    if dense:
        pruned = np.zeros((n, n), dtype=H.dtype)
        pruned[rows, columns] = values
        pruned[columns, rows] = values
        return pruned
    off = rows != columns
    i, j = np.concatenate((rows, columns[off])), np.concatenate((columns, rows[off]))
    return sparse.csr_array((np.concatenate((values, values[off])), (i, j)), shape=(n, n))


def greedy_pairs(H, d, keep_diagonal=False):
    """Return rows i and columns j >= i of the entries that the greedy visit of a symmetric matrix takes.

    Parameters
    ----------
    H : ndarray or csr_array of shape (n, n)
        Symmetric and finite.
    d : int
        Nonzeros per row.
    keep_diagonal : bool, default=False
        Visit the diagonal first.

    Returns
    -------
    (rows, columns)
        Each of shape (number taken,).
    """
    n = H.shape[0]
    room, nothing = np.full(n, d), np.empty(0, dtype=np.intp)
    taken = [(nothing, nothing)]
    if keep_diagonal:
        on = np.flatnonzero(H.diagonal())
        room[on] -= 1
        taken.append((on, on))
    for i, j in _falling(H, room, keep_diagonal):
        taken.extend(_visit(i, j, room))
    return np.concatenate([i for i, _ in taken]), np.concatenate([j for _, j in taken])


def _falling(H, room, skip_diagonal):
    """Yield batches (i, j) of the upper triangle in order of decreasing magnitude, between rows that have room.

    `room` changes between the batches. Entries below a threshold are not looked at before those above it have
    filled their rows, so that most entries are never sorted.
    """
    bound = np.inf
    while (room > 0).any():
        magnitudes, locate = _upper(H, np.flatnonzero(room > 0), skip_diagonal)
        magnitudes[magnitudes >= bound] = 0
        bound = _threshold(magnitudes, int(room.sum()))
        if bound == 0:
            return
        positions = np.flatnonzero(magnitudes >= bound)
        falling = np.argsort(-magnitudes[positions], kind="stable")
        del magnitudes
        yield locate(positions[falling])


MIN_CHUNK, CHUNK_PER_ROW = 4096, 8
"""Pairs whose conflicts are resolved together: the minimum, and the initial number per row. A larger chunk takes more
rounds, a smaller one more calls (measured at n = 4000)."""


def _visit(i, j, room):
    """Yield the pairs that a greedy visit of (i, j), in this order, takes, and reduce `room` accordingly."""
    start, size = 0, max(MIN_CHUNK, CHUNK_PER_ROW * room.size)
    while start < i.size and (room > 0).any():
        first, second = i[start : start + size], j[start : start + size]
        fit = (room[first] > 0) & (room[second] > 0)
        first, second = first[fit], second[fit]
        taken, rounds = _greedy_chunk(first, second, room)
        first, second = first[taken], second[taken]
        room -= np.bincount(first, minlength=room.size)
        room -= np.bincount(second[first != second], minlength=room.size)
        yield first, second
        start += size
        if rounds > MANY_ROUNDS:
            size = max(MIN_CHUNK, size // 2)
        elif rounds <= FEW_ROUNDS:
            size *= 2


FEW_ROUNDS, MANY_ROUNDS = 2, 6
"""Rounds of a chunk after which the next is larger, and after which it is smaller (measured at n = 4000)."""


def _threshold(magnitudes, wanted):
    """Magnitude of about the `wanted`-th largest entry, but at least of an eighth of all; 0 if all are 0."""
    size = magnitudes.size
    count = min(max(wanted, size // 8, 4 * MIN_CHUNK), size)
    at = magnitudes.max(initial=0.0) if count == 0 else np.partition(magnitudes, size - count)[size - count]
    return at if at > 0 else _smallest_positive(magnitudes)


def _smallest_positive(magnitudes):
    return np.min(magnitudes, where=magnitudes > 0, initial=np.inf) if magnitudes.any() else 0.0


def _upper(H, rows, skip_diagonal):
    """Magnitudes of the upper triangle of H[rows][:, rows] by rows, and the function position -> (i, j)."""
    if sparse.issparse(H):
        return _upper_sparse(H, rows, skip_diagonal)
    m, first = rows.size, int(skip_diagonal)
    lengths = np.arange(m, 0, -1) - first
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    magnitudes = np.empty(offsets[-1], dtype=H.dtype)
    for k, row in enumerate(rows):
        source = H[row, row + first :] if m == H.shape[0] else H[row, rows[k + first :]]
        np.abs(source, out=magnitudes[offsets[k] : offsets[k + 1]])

    def locate(positions):
        i = np.searchsorted(offsets, positions, side="right") - 1
        return rows[i], rows[positions - offsets[i] + i + first]

    return magnitudes, locate


def _upper_sparse(H, rows, skip_diagonal):
    part = H[rows][:, rows].tocsr()
    part.sort_indices()
    part = sparse.coo_array(sparse.triu(part, k=int(skip_diagonal), format="csr"))
    return np.abs(part.data), lambda positions: (rows[part.row[positions]], rows[part.col[positions]])


def _greedy_chunk(i, j, room):
    """Positions that a greedy visit of the pairs (i, j), in this order, takes, and the number of rounds.

    A pair is taken for certain once all pairs before it that are not rejected fit into both of its rows, and
    rejected once the taken ones before it fill one of them. Every round decides at least the first open pair.
    """
    # a diagonal entry fills its row once: its mirror image goes into a further row
    room = np.append(room, np.iinfo(np.int64).max)
    j = np.where(i == j, room.size - 1, j)
    candidates, rounds = np.arange(i.size), 0
    while True:
        rounds += 1
        ends = np.stack((i[candidates], j[candidates]), axis=1).ravel()
        order, grouped, first = _by_row(ends, room.size)
        fits = np.empty(ends.size, dtype=bool)
        fits[order] = np.arange(ends.size) - first < room[grouped]
        taken = fits.reshape(-1, 2).all(axis=1)
        if taken.all():
            return candidates, rounds
        before = np.concatenate(([0], np.cumsum(np.repeat(taken, 2)[order])))
        full = np.empty(ends.size, dtype=bool)
        full[order] = before[:-1] - before[first] >= room[grouped]
        candidates = candidates[taken | ~full.reshape(-1, 2).any(axis=1)]


def _by_row(ends, n_rows):
    """Stable order of the row numbers, the numbers in this order, and the position where the row of each starts."""
    order = np.argsort(ends.astype(np.uint16) if n_rows <= 65536 else ends, kind="stable")
    counts = np.bincount(ends, minlength=n_rows)
    grouped = ends[order]
    return order, grouped, (np.cumsum(counts) - counts)[grouped]
