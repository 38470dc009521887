"""One run of the emulated solver: its outcome, its queries, and the reasons why it cannot run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems_to_solve import random_system, system_of

from qnewton_sk import SolveStatus
from qnewton_sk.quantum.chebyshev import inverse_degree
from qnewton_sk.quantum.emulation import (
    MAX_DEGREE,
    Failure,
    NoisyRun,
    degree_rejection_reason,
    padded,
    polynomial_run,
)
from qnewton_sk.solvers.dense import LU


@given(st.integers(1, 10**6))
def test_registers_are_padded_to_the_next_power_of_two_and_at_least_two(n):
    assert padded(n) >= max(n, 2) and padded(n) & (padded(n) - 1) == 0
    assert padded(n) == 2 or padded(n) < 2 * n


@given(angle=st.floats(1e-9, 0.5), seed=st.integers(0, 10**6))
def test_a_noisy_run_turns_the_solution_by_the_angle_and_keeps_its_norm(angle, seed):
    system = random_system(7, 10.0, seed % 100)
    outcome = NoisyRun(system, LU(), angle, 100.0)(system.rhs, np.random.default_rng(seed))
    exact = LU().solve(system).x
    assert np.linalg.norm(outcome.y) == pytest.approx(np.linalg.norm(exact))
    # noise of this size turns a vector by arcsin(angle) at most
    chord = np.linalg.norm(outcome.y - exact) / np.linalg.norm(exact)
    assert 0.3 * angle - 1e-12 < chord <= 2 * np.sin(np.arcsin(angle) / 2) + 1e-12


def test_a_noisy_run_is_charged_expected_queries_per_copy_and_their_share_per_run():
    run = NoisyRun(random_system(4, 10.0, 0), LU(), 1e-3, 1000.0)
    assert run.queries_per_copy(0.25) == 1000.0 and run.queries_per_run(0.25) == 250.0


def test_a_polynomial_run_is_charged_its_degree_per_run_and_the_failed_ones_per_copy():
    run = polynomial_run(random_system(4, 10.0, 0, tol=1e-3), "polynomial")
    assert run.queries_per_run(0.25) == run.degree == inverse_degree(10.0 * (1 + 1e-12), 1e-3)
    assert run.queries_per_copy(0.25) == 4 * run.degree


@pytest.mark.parametrize("fidelity", sorted(MAX_DEGREE))
def test_a_degree_is_rejected_from_the_maximum_on_and_for_numbers_of_any_size(fidelity):
    limit = MAX_DEGREE[fidelity]
    assert degree_rejection_reason(fidelity, limit / 20, 1e-3) is None
    for kappa in (limit / 2, 1e155, 1e308, np.inf):
        assert f"degree up to {limit}" in degree_rejection_reason(fidelity, kappa, 1e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_a_polynomial_run_does_not_depend_on_the_scale_of_the_matrix(scale):
    system = random_system(5, 10.0, 0, tol=1e-6)
    scaled = system_of(system.matrix.dense() * scale, system.rhs, 1e-6)
    expected = polynomial_run(system, "polynomial")(system.rhs, None)
    outcome = polynomial_run(scaled, "polynomial")(system.rhs, None)
    np.testing.assert_allclose(outcome.y * scale, expected.y, rtol=1e-9)
    assert outcome.success_probability == pytest.approx(expected.success_probability)


def test_a_singular_matrix_gives_a_failure():
    failure = polynomial_run(system_of(np.diag([1.0, 0.0]), np.ones(2)), "polynomial")
    assert isinstance(failure, Failure) and failure.status is SolveStatus.SINGULAR
