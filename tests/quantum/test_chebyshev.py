"""The inverse polynomial: its promise, its bound, its optimality, its application to matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from qnewton_sk.quantum.chebyshev import MAX_VALUE, inverse_degree, inverse_polynomial

KAPPA = st.floats(1.0, 300.0)
TOL = st.floats(1e-12, 0.999)


@given(KAPPA, TOL)
def test_the_promised_error_holds_on_the_promised_interval(kappa, tol):
    P = inverse_polynomial(kappa, tol)
    x = np.geomspace(1 / kappa, 1, 4001)
    rounding = 1e-15 * P.degree / P.scale
    assert np.abs(x * P(x) / P.scale - 1).max() <= tol + rounding
    np.testing.assert_allclose(P(-x), -P(x), rtol=0, atol=1e-12)


@given(KAPPA, TOL)
def test_its_values_fit_into_a_unitary(kappa, tol):
    P = inverse_polynomial(kappa, tol)
    x = np.concatenate([np.linspace(-1, 1, 4001), np.linspace(-5, 5, 4001) / max(kappa, 5)])
    assert np.abs(P(x)).max() <= MAX_VALUE
    assert np.abs(P(x)).max() >= 0.98 * MAX_VALUE  # and wastes no success probability


@given(st.floats(1.5, 100.0), st.floats(1e-10, 0.4))
def test_no_odd_polynomial_of_lower_degree_meets_the_error(kappa, tol):
    """Alternation: at degree 2 n - 1 the error attains its bound n + 1 times with changing sign."""
    P = inverse_polynomial(kappa, tol)
    n = (P.degree + 1) // 2
    a2 = kappa**-2
    y = np.cos(np.pi * np.arange(n + 1) / n)
    x = np.sqrt((1 + a2 - (1 - a2) * y) / 2)
    error = x * P(x) / P.scale - 1
    rounding = 1e-14 * P.degree / P.scale
    assert np.abs(error).max() - np.abs(error).min() <= 1e-6 * tol + rounding
    assert (np.sign(error[1:]) != np.sign(error[:-1])).all() or tol < rounding * 10


@given(KAPPA, TOL)
def test_the_degree_is_known_before_the_polynomial(kappa, tol):
    assert inverse_polynomial(kappa, tol).degree == inverse_degree(kappa, tol)


@pytest.mark.parametrize("kappa", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8])
def test_the_degree_grows_like_kappa_log_one_over_tol(kappa, tol):
    assert inverse_degree(kappa, tol) == pytest.approx(kappa * np.log(2 / tol), rel=0.02)


@given(st.floats(1.0, 1e300), st.floats(1e-300, 0.999))
def test_the_degree_is_known_for_numbers_of_any_size(kappa, tol):
    bound = max(kappa, 1.1) * np.log(2 / min(tol, 0.5))
    rounding = 1e-12 * bound  # of the two logarithms
    assert 0.5 * bound - 1 <= inverse_degree(kappa, tol) <= bound + 2 + rounding


@pytest.mark.parametrize("tol", [1e-17, 1e-100, 1e-300, 5e-324])
def test_errors_below_rounding_are_kept_to_rounding(tol):
    P = inverse_polynomial(2.0, tol)
    x = np.linspace(0.5, 1, 101)
    np.testing.assert_allclose(x * P(x) / P.scale, 1.0, rtol=1e-11)


@given(st.integers(1, 12), st.integers(0, 10**6), st.floats(1.0, 50.0), st.floats(1e-8, 0.3))
def test_products_apply_it_as_the_spectrum_does(n, seed, kappa, tol):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values, v = rng.uniform(-1, 1, n), rng.standard_normal(n)
    P = inverse_polynomial(kappa, tol)
    A = (Q * values) @ Q.T
    np.testing.assert_allclose(P.apply(A.__matmul__, v), Q @ (P(values) * (Q.T @ v)), atol=1e-11)


def test_only_odd_coefficients_are_there():
    c = inverse_polynomial(20.0, 1e-3).coefficients
    assert not c[::2].any() and c[1::2].all()
    assert chebyshev.chebval(0.0, c) == pytest.approx(0.0, abs=1e-15)


def test_the_cached_coefficients_cannot_be_overwritten():
    with pytest.raises(ValueError, match="read-only"):
        inverse_polynomial(20.0, 1e-3).coefficients[1] = 0.0
