"""The kept path of conjugate gradients against Steihaug's algorithm written out, at any radius."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.solvers import krylov
from qnewton_sk.solvers.krylov import KrylovPath

SEEDS, SIZES = st.integers(0, 10**6), st.integers(1, 12)
SPECTRA = st.sampled_from(["definite", "indefinite", "negative"])
RADII = st.floats(1e-3, 1e2)


def problem(seed, n, spectrum="definite"):
    """A symmetric matrix of moderate condition number and a right-hand side."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = rng.uniform(0.3, 3.0, n)
    if spectrum == "indefinite":
        values[: (n + 1) // 2] *= -1
    if spectrum == "negative":
        values *= -1
    A = (Q * values) @ Q.T
    return (A + A.T) / 2, rng.standard_normal(n)


def steihaug(A, b, radius, tol, max_products):
    """Algorithm 7.2 of Nocedal and Wright (2006), for the model x.Ax / 2 - b.x; x and how it ended."""
    z, r, d = np.zeros_like(b), -b, b
    if np.linalg.norm(r) <= tol * np.linalg.norm(b):
        return z, "inside"

    def to_the_boundary():
        roots = np.roots([d @ d, 2 * (z @ d), z @ z - radius**2])
        return z + max(roots.real) * d

    for _ in range(max_products):
        if d @ A @ d <= 0:
            return to_the_boundary(), "negative"
        a = (r @ r) / (d @ A @ d)
        if np.linalg.norm(z + a * d) >= radius:
            return to_the_boundary(), "boundary"
        z, before = z + a * d, r
        r = r + a * A @ d
        if np.linalg.norm(r) <= tol * np.linalg.norm(b):
            return z, "inside"
        d = -r + (r @ r) / (before @ before) * d
    return z, "limit"


class Counted:
    def __init__(self, A):
        self.A, self.calls = A, 0

    def __call__(self, v):
        self.calls += 1
        return self.A @ v


@given(SEEDS, SIZES, SPECTRA, st.lists(RADII, min_size=1, max_size=5), st.sampled_from([1e-1, 1e-3, 1e-6]))
def test_every_cut_is_that_of_steihaug_whatever_was_cut_before(seed, n, spectrum, radii, tol):
    A, b = problem(seed, n, spectrum)
    path = KrylovPath(b)
    for radius in radii:
        cut = path.cut(lambda v: A @ v, radius, tol, 4 * n)
        x, how = steihaug(A, b, radius, tol, 4 * n)
        assert cut.how == how
        np.testing.assert_allclose(cut.x, x, rtol=1e-6, atol=1e-8 * np.abs(x).max())
        np.testing.assert_allclose(cut.image, A @ cut.x, rtol=1e-6, atol=1e-8 * np.abs(A @ x).max())


@given(SEEDS, SIZES, SPECTRA, RADII, st.floats(0.01, 1.0))
def test_a_smaller_radius_takes_no_further_product(seed, n, spectrum, radius, share):
    A, b = problem(seed, n, spectrum)
    product = Counted(A)
    path = KrylovPath(b)
    path.cut(product, radius, 1e-8, 4 * n)
    taken = product.calls
    assert taken == path.products
    path.cut(product, share * radius, 1e-8, 4 * n)
    assert product.calls == taken


@given(SEEDS, SIZES, SPECTRA, RADII)
def test_the_step_stays_in_the_ball_and_descends(seed, n, spectrum, radius):
    A, b = problem(seed, n, spectrum)
    cut = KrylovPath(b).cut(lambda v: A @ v, radius, 1e-8, 4 * n)
    size = np.linalg.norm(cut.x)
    assert size <= radius * (1 + 1e-9)
    if cut.how in ("boundary", "negative"):
        assert size == pytest.approx(radius, rel=1e-9)
    # no worse than the best point on the gradient alone
    bend = b @ A @ b
    t = radius / np.linalg.norm(b)
    t = min(t, b @ b / bend) if bend > 0 else t
    cauchy = t * (b @ b) - 0.5 * t**2 * bend
    assert b @ cut.x - 0.5 * cut.x @ cut.image >= cauchy * (1 - 1e-9) > 0


@given(SEEDS, SIZES)
def test_norms_of_the_iterates_grow(seed, n):
    A, b = problem(seed, n)
    path = KrylovPath(b)
    path.cut(lambda v: A @ v, math.inf, 1e-6, 4 * n)
    assert all(later > earlier for earlier, later in zip(path.norms, path.norms[1:]))


@given(SEEDS, SIZES)
def test_without_a_radius_it_solves(seed, n):
    A, b = problem(seed, n)
    cut = KrylovPath(b).cut(lambda v: A @ v, math.inf, 1e-10, 10 * n)
    assert cut.how == "inside"
    np.testing.assert_allclose(cut.x, np.linalg.solve(A, b), rtol=1e-7, atol=1e-8)
    assert np.linalg.norm(b - A @ cut.x) <= 1e-9 * np.linalg.norm(b)


@given(SEEDS, st.integers(4, 12))
def test_a_tighter_tolerance_goes_on_where_the_path_was(seed, n):
    A, b = problem(seed, n)
    product = Counted(A)
    path = KrylovPath(b)
    path.cut(product, math.inf, 0.3, 4 * n)
    path.cut(product, math.inf, 1e-9, 4 * n)
    straight, alone = KrylovPath(b), Counted(A)
    straight.cut(alone, math.inf, 1e-9, 4 * n)
    assert product.calls == alone.calls
    np.testing.assert_array_equal(path.x, straight.x)


@given(SEEDS, SIZES, SPECTRA)
def test_negative_curvature_without_a_ball_leaves_the_last_iterate(seed, n, spectrum):
    A, b = problem(seed, n, spectrum)
    cut = KrylovPath(b).cut(lambda v: A @ v, math.inf, 1e-8, 4 * n)
    if spectrum == "definite":
        assert cut.how != "negative"
    if spectrum == "negative":
        assert cut.how == "negative"
    np.testing.assert_allclose(cut.image, A @ cut.x, rtol=1e-6, atol=1e-7)
    model = 0.5 * cut.x @ A @ cut.x - b @ cut.x
    assert model < 0 if cut.x.any() else b @ A @ b <= 0


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_products_are_limited(limit):
    A, b = problem(0, 8)
    product = Counted(A)
    cut = KrylovPath(b).cut(product, math.inf, 1e-12, limit)
    assert cut.how == "limit" and product.calls == limit
    assert 0 < np.linalg.norm(b - A @ cut.x) < np.linalg.norm(b) * 10


def test_memory_limits_the_products(monkeypatch):
    A, b = problem(0, 8)
    monkeypatch.setattr(krylov, "MAX_PATH_BYTES", 3 * 2 * b.nbytes)
    path = KrylovPath(b)
    assert path.cut(Counted(A), math.inf, 1e-12, 100).how == "limit" and path.products == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_products_that_are_not_finite_end_the_path(value):
    A, b = problem(0, 4)
    A[0, 0] = value
    cut = KrylovPath(b).cut(lambda v: A @ v, 1.0, 1e-8, 10)
    assert cut.how == "non_finite" and np.isfinite(cut.x).all()


def test_a_right_hand_side_of_zero_is_solved_by_zero():
    path = KrylovPath(np.zeros(3))
    cut = path.cut(Counted(np.eye(3)), 1.0, 1e-8, 10)
    assert cut.how == "inside" and not cut.x.any() and path.products == 0


@given(SEEDS, st.integers(1, 10))
def test_ritz_values_bound_the_norm_from_below_and_reach_it(seed, n):
    A, b = problem(seed, n)
    path = KrylovPath(b)
    assert path.norm() is None
    path.cut(lambda v: A @ v, math.inf, 0.5, 1)
    true = np.linalg.norm(A, 2)
    assert path.norm() <= true * (1 + 1e-10)
    path.cut(lambda v: A @ v, math.inf, 1e-13, n)
    assert path.norm() <= true * (1 + 1e-6)
    assert path.norm() >= 0.9 * true


def test_float32_stays():
    A, b = (array.astype(np.float32) for array in problem(0, 5))
    cut = KrylovPath(b).cut(lambda v: A @ v, 0.7, 1e-3, 10)
    assert cut.x.dtype == cut.image.dtype == np.float32
