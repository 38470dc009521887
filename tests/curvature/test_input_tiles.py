"""Tiles of inputs: together they hold all that is not zero, and nothing twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.curvature.input_tiles import all_pairs, input_tiles, pair_tiles


@st.composite
def inputs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    count, samples = draw(st.integers(1, 40)), draw(st.integers(1, 60))
    density = rng.choice([0.0, 0.05, 0.5, 1.0], size=count)
    return rng.standard_normal((count, samples)) * (rng.random((count, samples)) < density[:, None])


def spread(tile, n_samples):
    full = np.zeros((len(tile.values), n_samples))
    full[:, slice(None) if tile.samples is None else tile.samples] = tile.values
    return full


@given(inputs())
def test_inputs(x):
    tiles = input_tiles(x)
    rebuilt = np.zeros_like(x)
    for tile in tiles:
        rebuilt[tile.rows] += spread(tile, x.shape[1])
    assert np.array_equal(rebuilt, x)
    rows = np.concatenate([tile.rows for tile in tiles]) if tiles else np.zeros(0)
    assert len(set(rows)) == len(rows)


@given(inputs())
def test_pairs(x):
    tiles = pair_tiles(x)
    rebuilt = np.zeros((len(x), *x.shape))
    for tile in tiles:
        s, q = tile.rows
        assert (s <= q).all()
        rebuilt[s, q] += spread(tile, x.shape[1])
    upper = np.triu_indices(len(x))
    assert np.array_equal(rebuilt[upper], (x[:, None] * x)[upper])
    pairs = [pair for tile in tiles for pair in zip(*tile.rows)]
    assert len(set(pairs)) == len(pairs)


@given(st.integers(1, 20), st.integers(1, 50))
def test_all_pairs(count, size):
    pairs = np.concatenate([tile.rows for tile in all_pairs(count, size)], axis=1)
    assert np.array_equal(pairs, np.triu_indices(count))


def test_rare_inputs_take_few_samples():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 1000))
    x[:16] *= rng.random((16, 1000)) < 0.01
    rare, others, dense = input_tiles(x)
    assert set(rare.rows) | set(others.rows) == set(range(16))
    assert max(len(rare.samples), len(others.samples)) < 200
    assert dense.samples is None and set(dense.rows) == set(range(16, 24))
