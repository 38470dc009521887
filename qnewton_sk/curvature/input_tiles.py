"""Inputs, and pairs of them, in tiles that leave out the samples in which all of a tile is zero.

Pixels, counts and indicators are zero in most samples. Products with such inputs need only the samples in which
something is left; which samples those are follows from X alone.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

INPUTS_PER_TILE = 8
"""Number of inputs whose samples are selected together: each tile copies what it is multiplied with, which costs about
100 operations per number, and 8 inputs times a hidden layer of 16 already do 270 operations with it."""

PAIRS_PER_TILE = 128
"""The same for pairs."""

DENSE_SHARE = 0.9
"""Share of the samples above which a tile takes them all."""


class Tile(NamedTuple):
    """Rows of values at some of the samples.

    `rows` are the inputs, of shape (count,), or the pairs, of shape (2, count); `samples` is None for all;
    `values` has the shape (count, samples), or is None if it is to be formed when it is needed.
    """

    rows: Array
    samples: Array | None
    values: Array | None


def input_tiles(x: Array) -> list[Tile]:
    """Return tiles that hold every input that is not zero throughout.

    Parameters
    ----------
    x : ndarray of shape (inputs, samples)
        The inputs.

    Returns
    -------
    list of Tile

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.curvature.input_tiles import input_tiles
    >>> [tile.rows for tile in input_tiles(np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]))]
    [array([0, 2])]
    """
    nonzero = x != 0
    order, cuts = _cut(np.count_nonzero(nonzero, axis=1), INPUTS_PER_TILE)
    kept = _samples_of_tiles(cuts, x.shape[1], lambda part: nonzero[order[part]])
    return [Tile(order[part], samples, _values(x[order[part]], samples)) for part, samples in kept]


def pair_tiles(x: Array) -> list[Tile]:
    """Return tiles that hold every pair s <= q of inputs whose product is not zero throughout.

    Parameters
    ----------
    x : ndarray of shape (inputs, samples)
        The inputs.

    Returns
    -------
    list of Tile
    """
    nonzero = (x != 0).astype(np.float32)
    pairs = np.array(np.triu_indices(len(x)))
    order, cuts = _cut((nonzero @ nonzero.T)[pairs[0], pairs[1]], PAIRS_PER_TILE)
    pairs = pairs[:, order]

    def both(part: slice) -> Array:
        return nonzero[pairs[0, part]] * nonzero[pairs[1, part]]

    tiles = []
    for part, samples in _samples_of_tiles(cuts, x.shape[1], both):
        left, right = (_values(x[rows], samples) for rows in pairs[:, part])
        left *= right
        tiles.append(Tile(pairs[:, part], samples, left))
    return tiles


def all_pairs(n_inputs: int, pairs_per_tile: int) -> list[Tile]:
    """Return tiles of all pairs s <= q at all samples, without their values."""
    pairs = np.array(np.triu_indices(n_inputs))
    starts = range(0, pairs.shape[1], pairs_per_tile)
    return [Tile(pairs[:, a : a + pairs_per_tile], None, None) for a in starts]


def _cut(counts: Array, size: int) -> tuple[Array, list[slice]]:
    """Return the rows that are not zero throughout, those with the fewest samples first, and slices of `size`."""
    order = np.argsort(counts, kind="stable")
    order = order[np.searchsorted(counts[order], 0, side="right") :]
    return order, [slice(a, min(a + size, len(order))) for a in range(0, len(order), size)]


def _samples_of_tiles(
    cuts: list[slice], n_samples: int, nonzero_of: Callable[[slice], Array]
) -> Iterator[tuple[slice, Array | None]]:
    """Yield (slice, samples); the last slice holds all rows from the first dense ones on, at all samples."""
    for part in cuts:
        samples = np.flatnonzero(nonzero_of(part).any(axis=0))
        if len(samples) > DENSE_SHARE * n_samples:
            yield slice(part.start, cuts[-1].stop), None
            return
        yield part, samples


def _values(rows: Array, samples: Array | None) -> Array:
    return rows if samples is None else np.ascontiguousarray(rows[:, samples])
