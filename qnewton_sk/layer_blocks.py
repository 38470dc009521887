"""Hessian blocks of a pair of layers: one matrix product each, in whichever order is cheapest.

A block's target has the shape (inputs of k, units of k, inputs of i, units of i), indices s, r, q, p.
"""

from functools import lru_cache

import numpy as np

PIECE_BYTES = 2**24
"""Largest factor or result of one matrix product: two or three of them fit a 32 MB cache, and at 2000
samples each still has 10^3 rows, where the product runs at full speed."""

TILE_BYTES = 2**23
"""The same for a few inputs times S: the fewer inputs, the more samples in which they are all zero."""

UNIT_BYTES = 2**22
"""The same for factors that are built up in several passes; two fit a 1 MB cache per core nearly."""

SMALL_INPUTS = 32
"""Up to so many inputs the products of all pairs cost less than the calls that would avoid them."""

DENSE_SHARE = 0.9
"""Samples whose inputs are all zero leave a product when more than the rest of this share does: taking the
others out costs two reads and a write a number, the product tens of operations."""


def add_diagonal_block(target, x, S, first, array, runs, pairs=None):
    """Add sum_n x[s] x[q] S[r, p] to a target (P, h, P, h), symmetric in (s, q) and in (r, p).

    Parameters
    ----------
    target : ndarray of shape (P, h, P, h)
        The block.
    x : ndarray of shape (P, samples)
        Inputs.
    S : ndarray of shape (h, h, samples)
        Symmetric in its units; only its upper triangle is read.
    first : bool
        Whether the target may be overwritten; it must be zero where inputs are left out.
    array : callable
        `Workspace.array`.
    runs : list of (slice, int)
        Which of the target's inputs x holds, as from `nonzero_runs`.
    pairs : ndarray of shape (P (P + 1) / 2, samples), default=None
        `input_pairs(x)` where `by_pairs` says so; else the products of x and S are formed instead.
    """
    h, (P, m) = len(S), x.shape
    upper, square = _packing(h)
    packed = S.reshape(h * h, m).take(upper, axis=0, out=array("packed", len(upper), m), mode="clip")
    if pairs is None:
        products = _by_inputs(x, packed, array)
    elif target.nbytes <= PIECE_BYTES:
        product = np.matmul(pairs, packed.T, out=array("product", len(pairs), len(packed)))
        _write_at_once(target, product, first, array)
        return
    else:
        products = _by_pairs(pairs, packed, P, array)
    for s, product in products:
        entries = product.take(square, axis=1, out=array("entries", len(product), h * h), mode="clip")
        _write_symmetric(target, s, entries.reshape(-1, h, h), runs, first)


def by_pairs(P, h):
    """Whether a diagonal block is cheaper from products of inputs than from products of inputs and S."""
    return P <= SMALL_INPUTS or P + 1 <= h * (h + 1)


def _by_pairs(pairs, packed, P, array):
    """Yield s and the (P - s, packed) entries with q >= s, from the products of inputs."""
    step = max(1, PIECE_BYTES // (P * len(packed) * packed.itemsize))
    offsets = [s * P - s * (s - 1) // 2 for s in range(P + 1)]
    for a in range(0, P, step):
        b = min(a + step, P)
        rows = pairs[offsets[a] : offsets[b]]
        product = np.matmul(rows, packed.T, out=array("product", len(rows), len(packed)))
        for s in range(a, b):
            yield s, product[offsets[s] - offsets[a] : offsets[s + 1] - offsets[a]]


def _by_inputs(x, packed, array):
    """Yield s and the (P - s, packed) entries with q >= s, from products of inputs and S."""
    P, m = x.shape
    step = max(1, min(P, TILE_BYTES // (packed.size * packed.itemsize)))
    for a in range(0, P, step):
        b = min(a + step, P)
        right, factor = _nonzero_samples(x[a:], b - a, packed, array)
        left = array("left", b - a, *factor.shape)
        left = np.multiply(right[: b - a, None], factor, out=left).reshape(-1, factor.shape[1])
        product = np.matmul(right, left.T, out=array("product", P - a, len(left))).reshape(P - a, b - a, -1)
        for s in range(a, b):
            yield s, product[s - a :, s - a]


def _nonzero_samples(x, count, packed, array):
    """Return x and packed without the samples in which the first `count` inputs are all zero, if many are."""
    kept = np.flatnonzero(x[:count].any(axis=0))
    if len(kept) > DENSE_SHARE * x.shape[1]:
        return x, packed
    few, factor = array("few", len(x), len(kept)), array("factor", len(packed), len(kept))
    return x.take(kept, axis=1, out=few, mode="clip"), packed.take(kept, axis=1, out=factor, mode="clip")


def _write_at_once(target, product, first, array):
    """Spread entries of pairs s <= q, r <= p over the whole block."""
    P, h = target.shape[:2]
    wide = product.take(_packing(h)[1], axis=1, out=array("entries", len(product), h * h), mode="clip")
    entries = wide.take(_packing(P)[1], axis=0, out=array("spread", P * P, h * h), mode="clip")
    _store(target, entries.reshape(P, P, h, h).transpose(0, 2, 1, 3), first)


def _write_symmetric(target, s, entries, runs, first):
    """Write the row of inputs s <= q, and its mirror image: both are symmetric in (r, p)."""
    row, start = _place(runs, s), s
    for run, shift in runs:
        if run.stop <= row:
            continue
        columns = slice(max(run.start, row), run.stop)
        piece = entries[columns.start - shift - start : columns.stop - shift - start]
        _store(target[row, :, columns], piece.transpose(1, 0, 2), first)
        if columns.start == row:
            columns, piece = slice(row + 1, columns.stop), piece[1:]
        _store(target[columns, :, row], piece, first)


def _place(runs, s):
    """Return where input s of the nonzero ones stands among all."""
    return next(s + shift for run, shift in runs if s + shift < run.stop)


def add_cross_block(target, x, a, S, first, array):
    """Add sum_n x[s] a[q] S[r, p] to a target (P, R, Q, T), by products of the inputs."""
    (P, m), Q, (R, T) = x.shape, len(a), S.shape[:2]
    right = S.reshape(R * T, m).T
    step = max(1, PIECE_BYTES // (Q * max(m, R * T) * x.itemsize))
    for start in range(0, P, step):
        rows = x[start : start + step]
        left = np.multiply(rows[:, None], a, out=array("left", len(rows), Q, m)).reshape(-1, m)
        product = np.matmul(left, right, out=array("product", len(left), R * T))
        _store(target[start : start + step], product.reshape(-1, Q, R, T).transpose(0, 2, 1, 3), first)


def add_cross_block_by_units(target, x, a, S, first, array, runs, J=None, delta=None):
    """Add sum_n x[s] (a[q] S[r, p] + J[r, q] delta[p]) to a target (P, R, Q, T).

    For many inputs x, and wherever J is full: both terms go into one product. `runs` as above.
    """
    m, Q, (R, T) = x.shape[1], len(a), S.shape[:2]
    step = max(1, min(R, UNIT_BYTES // (Q * T * m * x.itemsize)))
    for start in range(0, R, step):
        units = slice(start, min(start + step, R))
        right = array("left", units.stop - start, Q, T, m)
        np.multiply(a[:, None], S[units, None], out=right)
        if J is not None:
            shared = array("shared", units.stop - start, Q - 1, T, m)
            right[:, :-1] += np.multiply(J[units, :, None], delta, out=shared)
        right = right.reshape(-1, m)
        product = np.matmul(x, right.T, out=array("product", len(x), len(right)))
        for run, shift in runs:
            entries = product[run.start - shift : run.stop - shift]
            _store(target[run, units], entries.reshape(len(entries), -1, Q, T), first)


def add_shared_units(target, x, slope, delta, array, runs):
    """Add sum_n x[s] slope[r] delta[p] where q = r: what layer k hands to the weights of layer k + 1."""
    R, T, m = len(slope), *delta.shape
    right = np.multiply(slope[:, None], delta, out=array("left", R, T, m)).reshape(R * T, m)
    term = (x @ right.T).reshape(len(x), R, T)
    place = np.arange(R)
    for run, shift in runs:
        target[run, place, place] += term[run.start - shift : run.stop - shift]


def input_pairs(x, out):
    """Write x[s] x[q] for all s <= q into out of shape (P (P + 1) / 2, samples), and return it."""
    P, start = len(x), 0
    for s in range(P):
        np.multiply(x[s], x[s:], out=out[start : start + P - s])
        start += P - s
    return out


@lru_cache(maxsize=64)
def _packing(h):
    """Return the flat places of the upper triangle, and for every place its position in there."""
    r, p = np.triu_indices(h)
    square = np.empty((h, h), np.intp)
    square[r, p] = square[p, r] = np.arange(len(r))
    return r * h + p, square.ravel()


def _store(target, entries, first):
    if first:
        target[...] = entries
    else:
        target += entries
