"""Matrices on demand: what is shared between shifts, what is kept for one, and what is never done twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from qnewton_sk.systems.system_matrix import FACTORISATIONS, SystemMatrix

N = 6
RNG = np.random.default_rng(0)
G = RNG.standard_normal((3, N))
DIAGONAL = RNG.uniform(0, 1, N)
H = G.T @ G + np.diag(DIAGONAL)
V = RNG.standard_normal(N)


class Counted:
    """A function that notes how often it was called."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def lazy(**settings):
    """A matrix with counted ways to its entries, products and factor."""
    ways = {"assemble": Counted(H.copy), "product": Counted(lambda v: H @ v), "factor": Counted(G.copy)}
    rest = dict(factor_diagonal=DIAGONAL, rank=3, assembly_flops=1e4, product_flops=30.0, factor_flops=7.0)
    return SystemMatrix(N, **ways | rest | settings), ways


# -- statuses ------------------------------------------------------------------------------------------------


# -- the matrix ----------------------------------------------------------------------------------------------


@given(st.floats(-10, 10), st.booleans(), st.booleans())
def test_product_is_that_of_the_entries_with_the_shift(shift, assembled, by_rule):
    matrix, _ = lazy(**({} if by_rule else {"product": None}))
    if assembled:
        matrix.entries()
    shifted = matrix.shifted(shift)
    np.testing.assert_allclose(shifted.product(V), H @ V + shift * V, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(shifted.dense(), H + shift * np.eye(N), rtol=1e-15)


@pytest.mark.parametrize("product_flops", [30.0, None, 1e9])
def test_products_do_not_assemble(product_flops):
    matrix, ways = lazy(product_flops=product_flops)
    matrix.shifted(2.0).product(V)
    assert not matrix.assembled and ways["assemble"].calls == 0 and ways["product"].calls == 1


def test_largest_entry_comes_from_a_factor_of_few_rows_or_from_the_entries():
    matrix, ways = lazy()
    assert matrix.shifted(5.0).max_abs() == pytest.approx(np.abs(H).max(), rel=1e-14)
    assert not matrix.assembled and ways["factor"].calls == 1
    matrix, ways = lazy(rank=N)
    assert matrix.max_abs() == np.abs(H).max()
    assert matrix.assembled and ways["factor"].calls == 0
    indefinite = SystemMatrix.from_entries(sparse.csr_array(np.array([[1.0, -8.0], [-8.0, 2.0]])))
    assert indefinite.max_abs() == 8.0


def test_without_a_rule_products_assemble_once():
    assemble = Counted(H.copy)
    matrix = SystemMatrix(N, assemble=assemble)
    for shift in (0.0, 1.0, 2.0):
        matrix.shifted(shift).product(V)
    assert assemble.calls == 1


def test_all_shifts_share_entries_and_factor():
    matrix, ways = lazy()
    for shift in (0.0, 1e-3, 5.0):
        shifted = matrix.shifted(shift)
        assert shifted.entries() is matrix.entries()
        assert shifted.factor() is matrix.factor()
    assert ways["assemble"].calls == ways["factor"].calls == 1
    assert matrix.assembled and matrix.factored


def test_what_is_kept_for_a_shift_is_not_seen_by_another(monkeypatch):
    matrix, _ = lazy()
    compute = Counted(FACTORISATIONS["lu"].of)
    monkeypatch.setattr(FACTORISATIONS["lu"], "of", compute)
    a, b = matrix.shifted(1.0), matrix.shifted(2.0)
    assert a.factorisation("lu") is a.factorisation("lu")
    assert compute.calls == 1 and a.factorised == ("lu",) and b.factorised == ()
    b.factorisation("lu")
    assert compute.calls == 2
    assert a.shifted(1.0).factorised == ()


def test_what_is_shared_is_seen_by_all_shifts():
    matrix, _ = lazy()
    compute = Counted(object)
    assert matrix.shifted(1.0).shared("x", compute) is matrix.shifted(2.0).shared("x", compute)
    assert compute.calls == 1


def test_dense_is_a_copy():
    matrix = SystemMatrix.from_entries(H.copy(), shift=1.0)
    matrix.dense()[:] = np.nan
    np.testing.assert_array_equal(matrix.entries(), H)


def test_sparse_entries():
    stored = sparse.csr_array(np.diag([1.0, 0.0, 3.0]))
    matrix = SystemMatrix.from_entries(stored, shift=2.0)
    assert matrix.is_sparse and matrix.product_flops == 2.0 * stored.nnz
    np.testing.assert_array_equal(matrix.dense(), np.diag([3.0, 2.0, 5.0]))
    np.testing.assert_array_equal(matrix.product(np.ones(3)), [3.0, 2.0, 5.0])


def test_the_cheaper_way_to_a_product_is_taken():
    dear, ways = lazy(product_flops=1e6)
    dear.product(V)
    assert dear.product_flops == 1e6 and ways["product"].calls == 1
    dear.entries()
    dear.product(V)
    assert dear.product_flops == 2.0 * N**2 and ways["product"].calls == 1
    cheap, ways = lazy(product_flops=1.0)
    cheap.entries()
    cheap.product(V)
    assert cheap.product_flops == 1.0 and ways["product"].calls == 1


def test_time_of_assembly_is_measured_and_shared():
    matrix, _ = lazy()
    assert matrix.assembly_seconds == 0.0
    shifted = matrix.shifted(1.0)
    shifted.entries()
    once = matrix.assembly_seconds
    assert once > 0
    shifted.entries()
    assert matrix.assembly_seconds == once
    matrix.factor()
    assert shifted.assembly_seconds > once


def test_a_matrix_without_a_factor_returns_none():
    assert SystemMatrix.from_entries(H).factor() is None


# -- the facts -----------------------------------------------------------------------------------------------


# -- norms and products of several vectors ---------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_norms_and_trace_are_those_of_the_shifted_matrix_at_any_scale(form, scale):
    matrix = SystemMatrix.from_entries(form((H - np.eye(N)) * scale), shift=0.5 * scale)
    A = H - 0.5 * np.eye(N)
    assert matrix.frobenius_norm() / scale == pytest.approx(np.linalg.norm(A))
    assert matrix.one_norm() / scale == pytest.approx(np.linalg.norm(A, 1))
    assert matrix.trace() / scale == pytest.approx(np.trace(A))


@pytest.mark.parametrize("assembled", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_a_product_of_several_vectors_is_that_of_each(assembled, k):
    matrix, ways = lazy()
    if assembled:
        matrix.entries()
    V = np.random.default_rng(1).standard_normal((N, k))
    np.testing.assert_allclose(matrix.shifted(2.0).block_product()(V), H @ V + 2 * V, rtol=1e-12)
    assert matrix.assembled == assembled
