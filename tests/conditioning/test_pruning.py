"""Pruning against its definition, entry by entry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from qnewton_sk import prune_symmetric
from qnewton_sk.conditioning import pruning


def greedy(H, d, keep_diagonal=False):
    """The definition, entry by entry."""
    n = len(H)
    pruned, filled = np.zeros_like(H), [0] * n
    entries = [(-abs(H[i, j]), i, j) for i in range(n) for j in range(i, n) if H[i, j] != 0]
    entries.sort(key=lambda entry: (keep_diagonal and entry[1] != entry[2], *entry))
    for _, i, j in entries:
        if filled[i] < d and filled[j] < d:
            pruned[i, j] = pruned[j, i] = H[i, j]
            filled[i] += 1
            filled[j] += i != j
    return pruned


def from_triangle(B):
    return np.triu(B) + np.triu(B, 1).T


@st.composite
def ties(draw, most=14):
    n = draw(st.integers(1, most))
    B = draw(arrays(float, (n, n), elements=st.integers(-3, 3)))
    return from_triangle(B), draw(st.integers(1, n))


@pytest.fixture(params=[(4096, 8), (1, 1), (5, 1)], ids=["default chunks", "row chunks", "small chunks"])
def chunks(request, monkeypatch):
    monkeypatch.setattr(pruning, "MIN_CHUNK", request.param[0])
    monkeypatch.setattr(pruning, "CHUNK_PER_ROW", request.param[1])


def check_pruned(P, H, d):
    assert np.array_equal(P, P.T)
    assert ((P != 0).sum(axis=1) <= d).all()
    assert (P[P != 0] == H[P != 0]).all()


@given(ties())
@settings(max_examples=300, deadline=None)
def test_pruning_is_the_greedy_result(case):
    H, d = case
    P = prune_symmetric(H, d)
    np.testing.assert_array_equal(P, greedy(H, d))
    check_pruned(P, H, d)
    np.testing.assert_array_equal(prune_symmetric(sparse.csr_array(H), d).toarray(), P)


def test_pruning_is_the_greedy_result_on_a_thousand_matrices_with_ties(chunks):
    rng = np.random.default_rng(0)
    for _ in range(400):
        n = int(rng.integers(1, 24))
        values = (int(rng.integers(1, 5)), 1.0) if rng.random() < 0.7 else (1000, 1e-3)
        H = from_triangle(rng.integers(-values[0], values[0] + 1, (n, n)) * values[1])
        d = int(rng.integers(1, n + 1))
        diagonal_first = bool(rng.random() < 0.5)
        P = prune_symmetric(H, d, keep_diagonal=diagonal_first)
        np.testing.assert_array_equal(P, greedy(H, d, diagonal_first))


@pytest.mark.parametrize("d", [1, 7, 60])
def test_pruning_a_larger_matrix(d, chunks):
    rng = np.random.default_rng(d)
    scales = np.exp(2 * rng.standard_normal(60))
    H = from_triangle(rng.standard_normal((60, 60))) * np.outer(scales, scales)
    H = from_triangle(H)
    np.testing.assert_array_equal(prune_symmetric(H, d), greedy(H, d))


@pytest.mark.parametrize("d", [1, 3, 50, 100])
def test_all_entries_equal(d):
    n = 100
    P = prune_symmetric(np.full((n, n), -2.0), d)
    np.testing.assert_array_equal(P, greedy(np.full((n, n), -2.0), d))


def test_keeping_all_changes_nothing():
    H = from_triangle(np.random.default_rng(0).standard_normal((30, 30)))
    np.testing.assert_array_equal(prune_symmetric(H, 30), H)
    np.testing.assert_array_equal(prune_symmetric(H, 1.0), H)
    np.testing.assert_array_equal(prune_symmetric(H, keep=1.0), H)


def test_diagonal_first_leaves_room_for_a_shift():
    H = from_triangle(np.random.default_rng(0).standard_normal((40, 40)))
    P = prune_symmetric(H, 4, keep_diagonal=True)
    np.testing.assert_array_equal(P.diagonal(), H.diagonal())
    assert ((P + np.eye(40) != 0).sum(axis=1) <= 4).all()


@pytest.mark.parametrize("share, d", [(0.5, 10), (0.05, 1), (1e-9, 1), (0.3, 6), (1.0, 20)])
def test_a_share_of_n(share, d):
    H = from_triangle(np.random.default_rng(0).standard_normal((20, 20)))
    np.testing.assert_array_equal(prune_symmetric(H, share), prune_symmetric(H, d))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_the_smallest_d_that_keeps_a_share_of_the_norm(share):
    H = from_triangle(np.random.default_rng(2).standard_normal((40, 40)))
    P = prune_symmetric(H, keep=share)
    d = int((P != 0).sum(axis=1).max())
    assert np.linalg.norm(P) >= share * np.linalg.norm(H)
    if d > 1:
        assert np.linalg.norm(prune_symmetric(H, d - 1)) < share * np.linalg.norm(H)


@pytest.mark.parametrize("given", ["dense", "csr"])
@pytest.mark.parametrize("output", ["auto", "dense", "csr"])
def test_output(given, output):
    H = from_triangle(np.random.default_rng(2).standard_normal((12, 12)))
    P = prune_symmetric(H if given == "dense" else sparse.csr_array(H), 3, output=output)
    wanted = given if output == "auto" else output
    assert sparse.issparse(P) == (wanted == "csr")
    assert P.dtype == H.dtype
    np.testing.assert_array_equal(P.toarray() if sparse.issparse(P) else P, greedy(H, 3))


def test_types_and_input_stay():
    H = from_triangle(np.random.default_rng(2).standard_normal((12, 12))).astype(np.float32)
    before = H.copy()
    assert prune_symmetric(H, 3).dtype == np.float32
    np.testing.assert_array_equal(H, before)
    np.testing.assert_array_equal(prune_symmetric(np.array([[3, 1], [1, 2]]), 1), [[3, 0], [0, 2]])


def test_zero_and_tiny_matrices():
    np.testing.assert_array_equal(prune_symmetric(np.zeros((3, 3)), 2), np.zeros((3, 3)))
    np.testing.assert_array_equal(prune_symmetric(np.zeros((3, 3)), keep=0.5), np.zeros((3, 3)))
    np.testing.assert_array_equal(prune_symmetric(np.array([[5.0]]), 1), [[5.0]])
    np.testing.assert_array_equal(prune_symmetric(np.array([[5e-324]]), 1), [[5e-324]])


@pytest.mark.parametrize("d", [0, -1, 4, 0.0, 1.5, -0.1, float("nan"), "3", True])
def test_a_number_of_nonzeros_out_of_range_is_refused(d):
    with pytest.raises(ValueError, match="`d` must be an int from 1 to n=3"):
        prune_symmetric(np.eye(3), d)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(), "exactly one of `d` and `keep`"),
        (dict(d=1, keep=0.5), "exactly one of `d` and `keep`"),
        (dict(keep=0.0), "`keep` must be a float in"),
        (dict(keep=1.1), "`keep` must be a float in"),
        (dict(d=1, output="coo"), "`output` must be"),
    ],
)
def test_contradictory_settings_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        prune_symmetric(np.eye(3), **arguments)


@pytest.mark.parametrize(
    "H", [np.zeros((0, 0)), np.zeros((2, 3)), np.array([[1.0, 2.0], [0.0, 1.0]]), np.full((2, 2), np.nan)]
)
def test_a_wrong_matrix_is_refused(H):
    with pytest.raises(ValueError, match="`H` must be"):
        prune_symmetric(H, 1)
