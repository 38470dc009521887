"""Lengths and scales of vectors at any size of their entries."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from qnewton_sk.systems.arrays import euclidean_norm, is_finite, max_abs, scale_of, symmetric_product

SCALES = [5e-324, 1e-310, 1e-200, 1e-160, 1e-8, 1.0, 1e8, 1e160, 1e300, 1e308]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_length_is_that_of_the_scaled_vector(scale, dtype):
    if scale < float(np.finfo(dtype).max):
        v = (np.array([3.0, -4.0, 0.0]) / 8 * scale).astype(dtype)
        with np.errstate(over="ignore"):
            assert euclidean_norm(v) == pytest.approx(math.hypot(*v.astype(float)), rel=1e-6)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9))
def test_an_ordinary_length_has_the_bits_of_the_root_of_the_square(values):
    v = np.array(values)
    if v @ v > 1e-280:
        assert euclidean_norm(v) == math.sqrt(v @ v)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_length_that_is_not_finite_is_said(bad):
    with np.errstate(invalid="ignore"):
        assert not math.isfinite(euclidean_norm(np.array([1.0, bad])))
    assert not is_finite(np.array([1.0, bad]))


def test_zero_and_nothing_have_no_length():
    assert euclidean_norm(np.zeros(3)) == euclidean_norm(np.empty(0)) == 0.0
    assert max_abs(np.empty(0)) == 0.0


def test_a_sum_that_overflows_is_finite_all_the_same():
    assert is_finite(np.full(4, 1.5e308))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_scale_is_a_power_of_two_that_brings_squares_into_range(scale, dtype):
    if float(np.finfo(dtype).smallest_subnormal) <= scale <= float(np.finfo(dtype).max):
        A = np.array([scale, -scale / 2], dtype=dtype)
        unit = scale_of(A)
        assert math.frexp(unit)[0] == 0.5
        scaled = A / unit
        assert scaled.dtype == dtype and np.isfinite(scaled).all()
        assert scaled[0] * dtype(unit) == A[0]
        assert 0 < float(scaled[0]) ** 2 < float(np.finfo(dtype).max)
        assert float(scaled[0]) ** 2 > float(np.finfo(dtype).tiny)


@pytest.mark.parametrize(
    "A", [np.zeros(3), np.array([1.0]), np.array([math.inf]), np.array([math.nan])], ids=str
)
def test_numbers_of_ordinary_size_are_not_scaled(A):
    assert scale_of(A) == 1.0


@pytest.mark.parametrize("make", [np.asarray, np.asfortranarray, sparse.csr_array])
def test_a_symmetric_product_is_the_product(make):
    B = np.random.default_rng(0).standard_normal((7, 7))
    H, V = B + B.T, B[:, :3]
    np.testing.assert_allclose(symmetric_product(make(H), V[:, 0].copy()), H @ V[:, 0], rtol=1e-12)
    np.testing.assert_allclose(symmetric_product(make(H), V), H @ V, rtol=1e-12)
