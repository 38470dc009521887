"""Readout of a state: statistics against theory, over repeated seeded runs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qnewton_sk.quantum.readout import (
    MAX_MULTINOMIAL_COPIES,
    READOUTS,
    _estimated_phase,
    estimate_norm_factor,
    norm_estimation_runs,
    norm_estimation_size,
    read_amplitudes,
)


def even_state(n, seed=0):
    """All magnitudes equal, signs mixed: each amplitude has the same sampling error."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], n) / math.sqrt(n)


def errors_of(state, copies, runs):
    rng = np.random.default_rng(7)
    return np.array([read_amplitudes(state, copies, rng) - state for _ in range(runs)])


def test_the_squared_error_is_that_of_counting():
    """var sqrt(p^) = (1 - p) / (4 m) with m = copies / 2: in all (n - 1) / (2 copies)."""
    n, copies, runs = 16, 200_000, 400
    squared = (errors_of(even_state(n), copies, runs) ** 2).sum(axis=1)
    expected = (n - 1) / (2 * copies)
    # 2 copies |e|^2 is chi-squared of n - 1 degrees: its mean over the runs within four standard errors
    assert abs(squared.mean() / expected - 1) < 4 * math.sqrt(2 / (n - 1) / runs)


def test_the_errors_of_one_amplitude_are_normal():
    n, copies = 16, 200_000
    standardised = errors_of(even_state(n), copies, 400)[:, 3] / math.sqrt((1 - 1 / n) / (2 * copies))
    assert stats.kstest(standardised, "norm").pvalue > 1e-3


@pytest.mark.parametrize("n", [2, 10, 100])
@pytest.mark.parametrize("delta", [0.1, 1e-2, 1e-4, 1e-9])
def test_the_number_of_copies_suffices_for_the_requested_error(n, delta):
    state = np.random.default_rng(n).standard_normal(n)
    state /= np.linalg.norm(state)
    errors = np.linalg.norm(errors_of(state, READOUTS["sampling"](n, delta), 100), axis=1)
    assert np.median(errors) < delta
    assert errors.mean() > 0.3 * delta  # and no copy is wasted by orders of magnitude


def test_large_and_small_counts_have_one_distribution():
    """The normal limit takes over where 64-bit counts end; both sides of the threshold scatter alike."""
    state = even_state(8)
    below, above = (
        np.linalg.norm(errors_of(state, c, 300), axis=1)
        for c in np.array([1.9, 2.1]) * MAX_MULTINOMIAL_COPIES
    )
    assert stats.ks_2samp(below * math.sqrt(1.9), above * math.sqrt(2.1)).pvalue > 1e-3


@given(st.integers(1, 40), st.integers(0, 10**6), st.floats(10, 1e9))
def test_a_readout_is_normalised_and_reproducible(n, seed, copies):
    state = np.random.default_rng(seed).standard_normal(n)
    state /= np.linalg.norm(state)
    first, second = (read_amplitudes(state, copies, np.random.default_rng(seed)) for _ in range(2))
    assert np.linalg.norm(first) == pytest.approx(1.0)
    np.testing.assert_array_equal(first, second)


def test_signs_of_large_amplitudes_are_read():
    state = even_state(32)
    assert (np.sign(read_amplitudes(state, 32 * 1e4, np.random.default_rng(0))) == np.sign(state)).all()


@given(st.floats(1e-6, 0.99), st.floats(1e-9, 0.3))
def test_the_size_of_the_norm_estimation_solves_its_bound(a, delta):
    M = norm_estimation_size(a, delta)

    def bound(M):
        return 2 * math.pi * math.sqrt(a * (1 - a)) / M + math.pi**2 / M**2

    assert bound(M) <= 2 * a * delta * (1 + 1e-9)
    assert M == 1 or bound(M - 1) >= 2 * a * delta * (1 - 1e-9)
    assert norm_estimation_runs(a, delta) == 9 * (2 * M + 1)


@pytest.mark.parametrize(("a", "delta"), [(0.39, 1e-2), (0.05, 1e-3), (0.9, 0.1)])
def test_estimated_norms_meet_the_requested_error(a, delta):
    rng = np.random.default_rng(3)
    error = np.abs([estimate_norm_factor(a, delta, rng) - 1 for _ in range(300)])
    # the median of nine fails in less than 2 % of the cases: 300 of them, four standard deviations
    assert (error > delta).sum() <= 300 * 0.02 + 4 * math.sqrt(300 * 0.02)
    assert error.mean() > 0.02 * delta


@pytest.mark.parametrize("delta", [1e-20, 1e-170, 1e-300, 5e-324])
def test_errors_of_any_size_take_copies_without_an_exception(delta):
    for name, copies in READOUTS.items():
        assert copies(100, delta) >= (1 if name == "none" else 100)
    assert norm_estimation_runs(0.39, delta) > 1e19
    state, rng = even_state(8), np.random.default_rng(0)
    np.testing.assert_allclose(read_amplitudes(state, READOUTS["sampling"](8, delta), rng), state, rtol=1e-12)
    assert estimate_norm_factor(0.39, delta, rng) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("M", [7, 64, 1001])
def test_phase_estimation_has_its_exact_distribution(M):
    """Against the amplitudes of an inverse Fourier transform of e^(2 pi i phase k)."""
    phase, rng = 0.2371, np.random.default_rng(1)
    amplitudes = np.fft.fft(np.exp(2j * np.pi * phase * np.arange(M))) / M
    drawn = np.array([_estimated_phase(phase, M, rng) for _ in range(4000)])
    counts = np.bincount(np.round(drawn * M).astype(int) % M, minlength=M)
    expected = 4000 * np.abs(amplitudes) ** 2
    likely = expected > 20
    chi2 = ((counts[likely] - expected[likely]) ** 2 / expected[likely]).sum()
    assert stats.chi2.sf(chi2, likely.sum()) > 1e-3
    assert abs(counts[~likely].sum() - expected[~likely].sum()) < 4 * math.sqrt(expected[~likely].sum() + 1)
