"""Block Lanczos and Gauss quadrature against numpy's eigenvalues."""

import numpy as np
import pytest
from matrices import with_eigenvalues

from qnewton_sk.conditioning.lanczos import block_lanczos, quadrature

N = 150
VALUES = np.concatenate([np.linspace(-2, -1, 20), np.zeros(100), np.linspace(1, 4, 29), [9.0]])


def test_quadrature_is_exact_on_polynomials():
    H, v = with_eigenvalues(VALUES), np.random.default_rng(1).standard_normal(N)
    nodes, weights = quadrature(lambda V: H @ V, v, 5)
    for power in range(10):
        exact = v @ np.linalg.matrix_power(H, power) @ v / (v @ v)
        assert weights @ nodes**power == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("block", [1, 3, 8])
def test_lanczos_with_all_steps_finds_the_whole_spectrum(block):
    values = np.random.default_rng(0).standard_normal(40)
    ritz = block_lanczos(lambda V: with_eigenvalues(values) @ V, 40, block=block, max_steps=40)
    np.testing.assert_allclose(ritz.values, np.sort(values), atol=1e-9)
    assert ritz.inverse_bound == pytest.approx(1 / np.abs(values).min(), rel=1e-6)
    assert ritz.products == 40


@pytest.mark.parametrize("max_steps", [2, 6, 15])
def test_lanczos_bounds(max_steps):
    values = np.random.default_rng(0).standard_normal(100)
    H = with_eigenvalues(values)
    ritz = block_lanczos(lambda V: H @ V, 100, block=2, max_steps=max_steps)
    assert ritz.inverse_bound <= 1 / np.abs(values).min() * (1 + 1e-9)
    assert ritz.largest_magnitude <= np.abs(values).max() * (1 + 1e-9)


def test_lanczos_stops_in_an_invariant_space():
    ritz = block_lanczos(lambda V: np.diag([1.0, 1, 1, 5, 5, 5]) @ V, 6, block=1, max_steps=6)
    np.testing.assert_allclose(ritz.values, [1.0, 5.0])
    assert block_lanczos(lambda V: 0 * V, 6).largest_magnitude == 0
