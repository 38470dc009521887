"""The spectrum against numpy's eigenvalues, with entries and from products alone."""

import numpy as np
import pytest
from scipy import sparse
from scipy.integrate import trapezoid

from qnewton_sk.conditioning.spectrum import (
    block_of,
    effective_rank,
    extreme_eigenvalues,
    inertia,
    spectral_density,
    spectrum_table,
    trace,
)
from qnewton_sk.systems.system_matrix import SystemMatrix

N = 150


def planted(values, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    H = (Q * values) @ Q.T
    return (H + H.T) / 2


def lazy(H, shift=0.0):
    def assemble():
        raise AssertionError("assembled")

    return SystemMatrix(len(H), assemble=assemble, product=lambda v: H @ v, product_flops=1.0, shift=shift)


FORMS = {
    "ndarray": lambda H: H,
    "sparse": sparse.csr_array,
    "assembled": lambda H: SystemMatrix.from_entries(H - 0.25 * np.eye(len(H)), shift=0.25),
    "lazy": lambda H: lazy(H - 0.25 * np.eye(len(H)), 0.25),
}
VALUES = np.concatenate([np.linspace(-2, -1, 20), np.zeros(100), np.linspace(1, 4, 29), [9.0]])


@pytest.fixture(params=FORMS)
def H(request):
    return FORMS[request.param](planted(VALUES))


def test_extremes(H):
    low, high = extreme_eigenvalues(H)
    assert low == pytest.approx(-2.0, rel=0.02)
    assert high == pytest.approx(9.0, rel=1e-3)
    assert low >= -2 - 1e-9 and high <= 9 + 1e-9


@pytest.mark.parametrize("form", ["ndarray", "sparse", "assembled"])
def test_inertia_is_exact(form):
    values = np.where(VALUES == 0, 0.5, VALUES)
    assert inertia(FORMS[form](planted(values))) == (20, 0, 130)


def test_inertia_of_zero_and_of_hyperbolic_matrices():
    assert inertia(np.zeros((3, 3))) == (0, 3, 0)
    hyperbolic = np.kron(np.eye(4), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert inertia(hyperbolic) == (4, 0, 4)


def test_trace(H):
    value, error = trace(H, n_vectors=200)
    assert value == pytest.approx(VALUES.sum(), abs=max(4 * error, 1e-9))
    assert (error > 0) == (isinstance(H, SystemMatrix) and not H.assembled)


def test_effective_rank(H):
    assert effective_rank(H, n_vectors=200) == pytest.approx((VALUES**2).sum() / 81, rel=0.05)


def test_effective_rank_of_extremes():
    assert effective_rank(np.eye(7)) == pytest.approx(7.0)
    assert effective_rank(np.ones((7, 7))) == pytest.approx(1.0)
    assert effective_rank(np.zeros((7, 7))) == 0.0


def test_density(H):
    density = spectral_density(H, n_vectors=40)
    assert density.weights.sum() == pytest.approx(1.0)
    assert density.count_below(-0.5) == pytest.approx(20, abs=4)
    assert density.count_below(0.5) == pytest.approx(120, abs=4)
    assert density.moment(2) * N == pytest.approx((VALUES**2).sum(), rel=0.15)
    grid = np.linspace(-4, 12, 2000)
    assert trapezoid(density.on(grid), grid) == pytest.approx(1.0, abs=0.01)
    assert abs(grid[density.on(grid).argmax()]) < 0.1


def test_density_of_one_eigenvalue():
    density = spectral_density(np.eye(5) * 3)
    np.testing.assert_allclose(density.nodes, 3.0)
    assert np.isfinite(density.on([3.0])).all()


@pytest.mark.parametrize("form", ["ndarray", "sparse", "lazy"])
def test_table_by_layer(form):
    first, second = planted(np.linspace(-1, 3, 60)), planted(np.linspace(2, 5, 40), seed=1)
    H = np.zeros((100, 100))
    H[:60, :60], H[60:, 60:] = first, second
    H = lazy(H) if form == "lazy" else FORMS[form](H)
    table = spectrum_table(H, {"1": slice(0, 60), "2": slice(60, None)}, n_vectors=20)
    assert table["part"] == ["whole", "1", "2"]
    assert table["n"] == [100, 60, 40]
    np.testing.assert_allclose(table["smallest"], [-1, -1, 2], rtol=0.05)
    np.testing.assert_allclose(table["largest"], [5, 3, 5], rtol=0.05)
    np.testing.assert_allclose(table["negative"], [15, 15, 0], atol=0 if form != "lazy" else 4)
    np.testing.assert_allclose(table["trace"], [200, 60, 140], rtol=1e-9 if form != "lazy" else 0.2)


def test_blocks_keep_shift_and_structure():
    A = SystemMatrix.from_entries(np.diag([1.0, 2.0, 3.0]), semidefinite=True).shifted(0.5)
    block = block_of(A, slice(1, 3))
    assert block.shift == 0.5 and block.semidefinite
    np.testing.assert_array_equal(block.dense(), np.diag([2.5, 3.5]))
    np.testing.assert_array_equal(
        block_of(lazy(np.diag([1.0, 2, 3]), 0.5), slice(1, 3)).product(np.ones(2)), [2.5, 3.5]
    )


@pytest.mark.parametrize("function", [inertia, spectral_density, extreme_eigenvalues, trace, effective_rank])
def test_wrong_matrices_are_refused(function):
    for H in (
        np.zeros((0, 0)),
        np.zeros((2, 3)),
        np.array([[1.0, 2.0], [0.0, 1.0]]),
        np.full((2, 2), np.nan),
    ):
        with pytest.raises(ValueError, match="`H` must be"):
            function(H)


@pytest.mark.parametrize("function", [inertia, spectral_density])
def test_products_that_are_not_finite(function):
    with pytest.raises(ValueError, match="`H` must be finite"):
        function(SystemMatrix.from_entries(np.full((4, 4), np.nan)))
    low, high = extreme_eigenvalues(SystemMatrix.from_entries(np.full((4, 4), np.nan)))
    assert np.isnan(low) and np.isnan(high)
