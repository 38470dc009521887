"""Tiles of inputs: together they hold all that is not zero, and nothing twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.curvature.input_tiles import all_pairs, input_tiles, pair_tiles, rare_and_other_inputs


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


@given(inputs(), st.sampled_from([input_tiles, rare_and_other_inputs]))
def test_inputs(x, make):
    tiles = make(x)
    if make is rare_and_other_inputs and not tiles:
        return
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
    *rare, dense = input_tiles(x)
    assert set(np.concatenate([tile.rows for tile in rare])) == set(range(16))
    assert max(len(tile.samples) for tile in rare) < 100
    assert dense.samples is None and set(dense.rows) == set(range(16, 24))


def test_rare_inputs_are_set_apart_if_that_saves_work():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 1000))
    assert rare_and_other_inputs(x) == []
    x[4:20] *= rng.random((16, 1000)) < 0.005
    x[7] = 0
    rare, others = rare_and_other_inputs(x)
    assert set(rare.rows) == {*range(4, 20)} - {7} and len(rare.samples) < 150
    assert others.samples is None and set(others.rows) == {*range(4), *range(20, 24)}
    (alone,) = rare_and_other_inputs(x[4:20])
    assert len(alone.rows) == 15
    assert rare_and_other_inputs(np.zeros((3, 5))) == []


def test_a_pair_takes_the_samples_of_its_rarer_input():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 1000))
    shares = np.array([1.0, 0.02, 0.5, 0.3, 1.0, 0.9, 0.1, 0.4, 1.0, 0.2, 0.6, 1.0])
    x *= rng.random(x.shape) < shares[:, None]
    counts = np.count_nonzero(x, axis=1)
    for tile in pair_tiles(x):
        rarer = counts[tile.rows].min(axis=0)
        if tile.samples is None:
            assert set(np.unique(tile.rows)) == {0, 4, 5, 8, 11}
        else:
            assert (rarer == len(tile.samples)).all()
