"""Hessian blocks of a pair of layers, as tasks: matrix products in whichever order is cheapest.

The target of a block has the shape (inputs of k, units of k, inputs of i, units of i), with the indices s, r, q, p. The
tasks of a block write to different places; each is called with the function `array` of a `Workspace`.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .input_tiles import Tile

Array = NDArray[Any]
Task = Callable[[Callable[..., Array]], None]

PIECE_BYTES = 2**24
"""Maximum size of a factor or result of one matrix product: two or three of them fit into a 32 MB cache, and at 2000
samples each still has 10^3 rows, with which the product runs at full speed."""

TILE_BYTES = 2**23
"""The same for a few inputs times S: the fewer inputs, the more samples in which they are all zero."""

UNIT_BYTES = 2**21
"""The same for factors that are built up in several passes; two nearly fit into a 1 MB cache per core."""

DENSE_SHARE = 0.9
"""Share of the samples above which a few inputs times S take them all."""

ROWS_PER_TASK = 512
"""Number of rows of a product in one task: enough for full speed, few enough to keep all threads busy to the end."""

SMALL_INPUTS = 32
"""Number of inputs up to which the products of all pairs cost less than the calls that would avoid them."""


def by_pairs(P: int, h: int) -> bool:
    """Whether a diagonal block is cheaper from products of inputs than from products of inputs and S."""
    return P <= SMALL_INPUTS or P + 1 <= h * (h + 1)


def pairs_per_piece(h: int, n_samples: int, itemsize: int) -> int:
    """Return how many pairs of inputs, at all the samples, make one task."""
    return max(1, min(ROWS_PER_TASK, PIECE_BYTES // (max(h * h, n_samples) * itemsize)))


def diagonal_by_pairs(target: Array, x: Array, packed: Array, first: bool, tiles: list[Tile]) -> list[Task]:
    """Return tasks that add sum_n x[s] x[q] S[r, p] to a target (P, h, P, h), from products of inputs.

    Parameters
    ----------
    target : ndarray of shape (P, h, P, h)
        The block, symmetric in (s, q) and in (r, p).
    x : ndarray of shape (P, samples)
        Inputs.
    packed : ndarray of shape (h (h + 1) / 2, samples)
        The upper triangle of S, which is symmetric in its units, row by row. For tiles that leave out samples, its
        transpose should be contiguous: to copy rows costs a third of what columns cost.
    first : bool
        Whether the target is overwritten; it must be zero for the inputs that are left out.
    tiles : list of Tile
        The pairs, as from `pair_tiles` or `all_pairs`.
    """
    size = pairs_per_piece(target.shape[1], x.shape[1], x.itemsize)
    pieces = [piece for tile in tiles for piece in _pieces(tile, size)]
    return [partial(_add_pairs, target, tile, x, packed.T, first) for tile in pieces]


def _pieces(tile: Tile, size: int) -> Iterator[Tile]:
    """Cut a tile into some of at most `size` rows."""
    rows, samples, values = tile
    for a in range(0, rows.shape[-1], size):
        part = slice(a, a + size)
        yield tile._replace(rows=rows[..., part], values=None if values is None else values[part])


def _add_pairs(
    target: Array, tile: Tile, x: Array, right: Array, first: bool, array: Callable[..., Array]
) -> None:
    (s, q), h, values = tile.rows, target.shape[1], tile.values
    if values is None:
        values = x.take(s, axis=0, out=array("pairs", len(s), x.shape[1]), mode="clip")
        values *= x.take(q, axis=0, out=array("factor", len(s), x.shape[1]), mode="clip")
    if tile.samples is not None:
        out = array("factor", len(tile.samples), right.shape[1])
        right = right.take(tile.samples, axis=0, out=out, mode="clip")
    product = np.matmul(values, right, out=array("product", len(s), right.shape[1]))
    entries = product.take(packing(h)[1], axis=1, out=array("entries", len(s), h * h), mode="clip")
    entries = entries.reshape(-1, h, h)
    _store(target, (s, slice(None), q), entries, first)
    off = s != q
    if not off.all():
        s, q, entries = s[off], q[off], entries[off]
    _store(target, (q, slice(None), s), entries, first)


def diagonal_by_inputs(target: Array, inputs: Any, x: Array, packed: Array, first: bool) -> list[Task]:
    """Return tasks as `diagonal_by_pairs` does, from products of inputs and S; `inputs` are the rows in x."""
    P = len(x)
    step = max(1, min(P, TILE_BYTES // (packed.size * packed.itemsize)))
    inputs = np.arange(P) if isinstance(inputs, slice) else inputs
    cuts = [slice(a, min(a + step, P)) for a in range(0, P, step)]
    return [partial(_add_inputs, target, inputs, x, packed, first, cut) for cut in cuts]


def _add_inputs(
    target: Array,
    inputs: Array,
    x: Array,
    packed: Array,
    first: bool,
    cut: slice,
    array: Callable[..., Array],
) -> None:
    a, b, h = cut.start, cut.stop, target.shape[1]
    right, factor = _nonzero_samples(x[a:], b - a, packed, array)
    left = array("left", b - a, *factor.shape)
    left = np.multiply(right[: b - a, None], factor, out=left).reshape(-1, factor.shape[1])
    product = np.matmul(right, left.T, out=array("product", len(right), len(left)))
    product = product.reshape(len(right), b - a, -1)
    for s in range(a, b):
        entries = product[s - a :, s - a]
        entries = entries.take(
            packing(h)[1], axis=1, out=array("entries", len(entries), h * h), mode="clip"
        ).reshape(-1, h, h)
        _store(target, (inputs[s], slice(None), inputs[s:]), entries, first)
        _store(target, (inputs[s + 1 :], slice(None), inputs[s]), entries[1:], first)


def _nonzero_samples(x: Array, count: int, packed: Array, array: Callable[..., Array]) -> tuple[Array, Array]:
    """Return x and packed without the samples in which the first `count` inputs are all zero, if there are many."""
    kept = np.flatnonzero(x[:count].any(axis=0))
    if len(kept) > DENSE_SHARE * x.shape[1]:
        return x, packed
    return _at(x, kept, array, "few"), _at(packed, kept, array)


def cross_by_inputs(
    target: Array,
    tiles: list[Tile],
    a: Array,
    S: Array,
    first: bool,
    shared: tuple[Any, Any] | None = None,
) -> list[Task]:
    """Return tasks that add sum_n x[s] a[q] S[r, p] to a target (P, R, Q, T), by products of the inputs.

    Parameters
    ----------
    target : ndarray of shape (P, R, Q, T)
        The block.
    tiles : list of Tile
        The inputs x, as from `input_tiles`.
    a : ndarray of shape (Q, samples)
        Inputs of the later layer.
    S : ndarray of shape (R, T, samples)
        Second derivatives.
    first : bool
        Whether the target is overwritten; it must be zero for the inputs that are left out.
    shared : (ndarray of shape (R, samples), ndarray of shape (T, samples)), default=None
        f' of layer k and delta of layer k + 1: adds x[s] f'[r] delta[p] for q = r, the dependence of the inputs of
        layer k + 1 on layer k.
    """
    Q, (R, T, m) = len(a), S.shape
    right = S.reshape(R * T, m)
    product = None if shared is None else np.multiply(shared[0][:, None], shared[1]).reshape(R * T, m)
    step = min(ROWS_PER_TASK, PIECE_BYTES // (max(m, R * T) * a.itemsize)) // Q
    pieces = [piece for tile in tiles for piece in _pieces(tile, max(1, step))]
    return [partial(_add_cross, target, tile, a, right, first, product) for tile in pieces]


def _add_cross(
    target: Array,
    tile: Any,
    a: Array,
    right: Array,
    first: bool,
    shared: Array | None,
    array: Callable[..., Array],
) -> None:
    P, R, Q, T = target.shape
    rows, x = tile.rows, tile.values
    a = _at(a, tile.samples, array, "few")
    left = np.multiply(x[:, None], a, out=array("left", len(x), *a.shape)).reshape(-1, a.shape[1])
    product = np.matmul(left, _at(right, tile.samples, array).T, out=array("product", len(left), R * T))
    _store(target, rows, product.reshape(-1, Q, R, T).transpose(0, 2, 1, 3), first)
    if shared is not None:
        term = x @ _at(shared, tile.samples, array).T
        units = np.arange(R)
        target[rows[:, None], units, units] += term.reshape(len(x), R, T)


def cross_by_units(
    target: Array,
    tiles: list[Tile],
    a: Array,
    S: Array,
    first: bool,
    derivative: Array | None = None,
    J: Array | None = None,
    delta: Array | None = None,
) -> list[Task]:
    """Return tasks that add sum_n x[s] (a[q] S[r, p] + J[r, q] delta[p]) to a target (P, R, Q, T).

    It serves many inputs x, as from `rare_and_other_inputs`, and every full J: both terms go into one product. If
    `derivative` is given in place of J, J is diagonal.
    """
    (Q, m), (R, T) = a.shape, S.shape[:2]
    step = max(1, min(R, UNIT_BYTES // (Q * T * m * a.itemsize)))
    cuts = [slice(start, min(start + step, R)) for start in range(0, R, step)]
    return [partial(_add_units, target, tiles, a, S, first, derivative, J, delta, units) for units in cuts]


def _add_units(
    target: Array,
    tiles: list[Any],
    a: Array,
    S: Array,
    first: bool,
    derivative: Array | None,
    J: Array | None,
    delta: Any,
    units: slice,
    array: Callable[..., Array],
) -> None:
    (Q, m), T = a.shape, S.shape[1]
    right = array("left", units.stop - units.start, Q, T, m)
    np.multiply(a[:, None], S[units, None], out=right)
    if J is not None:
        shared = array("shared", units.stop - units.start, Q - 1, T, m)
        right[:, :-1] += np.multiply(J[units, :, None], delta, out=shared)
    elif derivative is not None:
        for r in range(units.start, units.stop):
            right[r - units.start, r] += derivative[r] * delta
    right = right.reshape(-1, m)
    for inputs, samples, x in tiles:
        factor = _at(right, samples, array)
        product = np.matmul(x, factor.T, out=array("product", len(x), len(right)))
        _store(target, (inputs, units), product.reshape(len(x), -1, Q, T), first)


def _at(rows: Array, samples: Array | None, array: Callable[..., Array], name: str = "factor") -> Array:
    """Return the columns of some samples, or `rows` itself for all."""
    if samples is None:
        return rows
    return rows.take(samples, axis=1, out=array(name, len(rows), len(samples)), mode="clip")


@lru_cache(maxsize=64)
def packing(h: int) -> tuple[Array, Array]:
    """Return the flat indices of the upper triangle, and for every index its position among them."""
    r, p = np.triu_indices(h)
    square = np.empty((h, h), np.intp)
    square[r, p] = square[p, r] = np.arange(len(r))
    return r * h + p, square.ravel()


def _store(target: Array, place: Any, entries: Array, first: bool) -> None:
    if first:
        target[place] = entries
    else:
        target[place] += entries
