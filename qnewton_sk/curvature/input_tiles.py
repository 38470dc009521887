"""Inputs, and pairs of them, in tiles that leave out the samples in which all of a tile is zero.

Pixels, counts and indicators are zero in most samples. Products with such inputs need only the samples in which
something is left; which samples those are follows from X alone.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.machine import NUMBER_FLOPS

Array = NDArray[Any]

INPUTS_PER_TILE = 4
"""Number of inputs whose samples are selected together: each tile copies what it is multiplied with, which costs about
100 operations per number, and 4 inputs times a hidden layer of 16 already do 130 operations with it."""

DENSE_TILE_SHARE = 0.6
"""Share of the samples above which a tile of inputs takes them all, by the same comparison."""

DENSE_PARTNER_SHARE = 0.75
"""Share of the samples above which the pairs of an input are taken at all of them, in one product with those of all
such inputs: it runs faster than many small ones."""


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
    order, _ = _nonzero_rows(nonzero)
    tiles: list[Tile] = []
    for start in range(0, len(order), INPUTS_PER_TILE):
        rows = order[start : start + INPUTS_PER_TILE]
        samples = np.flatnonzero(nonzero[rows].any(axis=0))
        if len(samples) > DENSE_TILE_SHARE * x.shape[1]:  # so are those of all the rows after these
            return [*tiles, Tile(order[start:], None, x[order[start:]])]
        tiles.append(Tile(rows, samples, x[rows[:, None], samples]))
    return tiles


def rare_and_other_inputs(x: Array) -> list[Tile]:
    """Return a tile of the rarest inputs, at their samples, and one of the others that are not zero throughout.

    Whatever the inputs are multiplied with must be copied for the samples of the rare ones. These are as many as save
    most; without any, there are no tiles, and without others, there is one.

    Parameters
    ----------
    x : ndarray of shape (inputs, samples)
        The inputs.

    Returns
    -------
    list of Tile
    """
    nonzero = x != 0
    order, _ = _nonzero_rows(nonzero)
    together = np.count_nonzero(np.logical_or.accumulate(nonzero[order], axis=0), axis=1)
    saved = 2.0 * np.arange(1, len(order) + 1) * (x.shape[1] - together) - NUMBER_FLOPS * together
    if saved.max(initial=0.0) <= 0:
        return []
    count = int(saved.argmax()) + 1
    rare, others = np.sort(order[:count]), np.sort(order[count:])
    samples = np.flatnonzero(nonzero[rare].any(axis=0))
    tiles = [Tile(rare, samples, x[rare[:, None], samples]), Tile(others, None, x[others])]
    return tiles if len(others) else tiles[:1]


def pair_tiles(x: Array) -> list[Tile]:
    """Return tiles that hold every pair s <= q of inputs whose product is not zero throughout, as of `input_tiles`.

    Each pair belongs to that of its inputs which is the rarer one, and is taken at the samples where that input is
    not zero. The pairs of the inputs that are hardly ever zero make up one tile, at all the samples.
    """
    nonzero = x != 0
    order, counts = _nonzero_rows(nonzero)
    dense = int(np.searchsorted(counts, DENSE_PARTNER_SHARE * x.shape[1], side="right"))
    tiles = []
    for rank in range(dense):
        samples, partners = np.flatnonzero(nonzero[order[rank]]), np.sort(order[rank:])
        values = x[partners[:, None], samples]
        met = values.any(axis=1)
        values, partners = values[met], partners[met]
        values *= x[order[rank], samples]
        tiles.append(Tile(_ordered(np.full_like(partners, order[rank]), partners), samples, values))
    if dense < len(order):
        pairs = np.sort(order[dense:])[np.array(np.triu_indices(len(order) - dense))]
        values = x[pairs[0]]
        values *= x[pairs[1]]
        tiles.append(Tile(pairs, None, values))
    return tiles


def _ordered(s: Array, q: Array) -> Array:
    """Return the pairs of shape (2, count), the smaller index first."""
    return np.stack([np.minimum(s, q), np.maximum(s, q)])


def all_pairs(n_inputs: int, pairs_per_tile: int) -> list[Tile]:
    """Return tiles of all pairs s <= q at all samples, without their values."""
    pairs = np.array(np.triu_indices(n_inputs))
    starts = range(0, pairs.shape[1], pairs_per_tile)
    return [Tile(pairs[:, a : a + pairs_per_tile], None, None) for a in starts]


def _nonzero_rows(nonzero: Array) -> tuple[Array, Array]:
    """Return the rows that are not zero throughout, those with the fewest samples first, and their counts."""
    counts = np.count_nonzero(nonzero, axis=1)
    order = np.argsort(counts, kind="stable")
    order = order[np.searchsorted(counts[order], 0, side="right") :]
    return order, counts[order]
