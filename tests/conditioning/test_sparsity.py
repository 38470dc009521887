"""Oracle sparsity against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from qnewton_sk import oracle_sparsity
from qnewton_sk.conditioning import sparsity


def minimum_count(row, share):
    """The definition, entry by entry."""
    falling, total, count = sorted(np.abs(row), reverse=True), 0.0, 0
    while total < share * np.abs(row).sum() * (1 - 1e-12):
        total += falling[count]
        count += 1
    return count


@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(-4, 4)))
@settings(max_examples=200, deadline=None)
def test_oracle_sparsity_is_the_minimum_number_of_entries(H):
    shares = [0.1, 0.5, 0.75, 0.9, 0.95, 1.0]
    counts = oracle_sparsity(H, shares)
    assert counts.tolist() == [[minimum_count(row, share) for row in H] for share in shares]
    assert oracle_sparsity(H).tolist() == counts[1].tolist()
    assert (np.diff(counts, axis=0) >= 0).all()
    np.testing.assert_array_equal(oracle_sparsity(sparse.csr_array(H), shares), counts)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0])
def test_rounding_does_not_ask_for_one_more(share):
    for n in (10, 100, 1000):
        assert oracle_sparsity(np.full((2, n), 0.1), share).tolist() == [round(share * n)] * 2


def test_oracle_sparsity_in_blocks(monkeypatch):
    H = np.random.default_rng(0).standard_normal((50, 50))
    whole = oracle_sparsity(H, [0.5, 0.9])
    monkeypatch.setattr(sparsity, "CHUNK_VALUES", 120)
    np.testing.assert_array_equal(oracle_sparsity(H, [0.5, 0.9]), whole)


def test_the_result_has_one_int_per_row():
    counts = oracle_sparsity(np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32), 0.75)
    assert counts.shape == (5,) and counts.dtype.kind == "i"


@pytest.mark.parametrize("fraction", [0.0, 1.01, -0.5, float("nan"), [0.5, 2.0], [[0.5]]])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="`fraction` must be in"):
        oracle_sparsity(np.eye(3), fraction)


@pytest.mark.parametrize("H", [np.zeros(3), np.array([[np.nan]]), np.array([[1j]])])
def test_an_array_that_is_not_a_finite_real_matrix_is_refused(H):
    with pytest.raises(ValueError, match="`H` must"):
        oracle_sparsity(H)
