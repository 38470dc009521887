"""Conjugate gradients with a shift and inside a radius: limits, negative curvature, retries."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solver_checks import SEEDS, check_claims, spectrum, stored_for, system

from qnewton_sk.solvers.conjugate_gradients import CG
from qnewton_sk.solvers.sparse import SparseCG
from qnewton_sk.systems.solution import SolveStatus
from qnewton_sk.systems.system_matrix import SystemMatrix


def test_cg_stops_at_its_limit_or_at_that_of_the_system():
    given = system(spectrum(0, np.logspace(0, 4, 30)))
    for solver, limited in [(CG(max_iter=3), given), (CG(), replace(given, max_products=3))]:
        solution = solver.solve(limited)
        assert solution.status is SolveStatus.MAX_ITERATIONS and solution.products == 3
        check_claims(solution, limited, limited.matrix.dense())


@given(SEEDS, st.integers(1, 10), st.integers(1, 10), st.sampled_from([CG(), SparseCG()]))
def test_negative_curvature_without_a_radius_leaves_a_descent(seed, n, negative, solver):
    values = np.random.default_rng(seed).uniform(0.5, 2, n)
    values[: min(n, negative)] *= -1
    given = system(stored_for(solver, spectrum(seed, values)))
    solution = solver.solve(given)
    check_claims(solution, given, given.matrix.dense())
    if solution.status is SolveStatus.NEGATIVE_CURVATURE:
        assert solution.x @ given.rhs > 0
    else:
        assert solution.status is SolveStatus.SUCCESS and solution.relative_residual <= 1e-9


@given(SEEDS, st.integers(1, 10), st.floats(1e-2, 1e2), st.booleans())
def test_cg_with_a_radius_leaves_the_shift_out(seed, n, radius, definite):
    values = np.random.default_rng(seed).uniform(0.5, 2, n)
    values[0] *= 1 if definite else -1
    H = spectrum(seed, values)
    given = system(H, shift=7.0, radius=radius)
    solution = CG().solve(given)
    size, shift = np.linalg.norm(solution.x), solution.shift
    assert size <= radius * (1 + 1e-9)
    np.testing.assert_allclose(solution.image, H @ solution.x + 7 * solution.x, atol=1e-7 * max(size, 1))
    inside = np.linalg.solve(H, given.rhs)
    if definite and np.linalg.norm(inside) < radius * (1 - 1e-9):
        assert shift == 0
        np.testing.assert_allclose(solution.x, inside, rtol=1e-6, atol=1e-8)
    elif not (definite or n > 1):
        assert size == pytest.approx(radius)
    assert solution.status in (SolveStatus.SUCCESS, SolveStatus.NEGATIVE_CURVATURE)
    # the residual is that of the system shifted by what x belongs to, and no other shift has a smaller one
    residual = lambda mu: np.linalg.norm(H @ solution.x + mu * solution.x - given.rhs)  # noqa: E731
    assert solution.relative_residual == pytest.approx(residual(shift) / np.linalg.norm(given.rhs), abs=1e-8)
    if shift > 0:
        assert residual(shift) <= min(residual(0.9 * shift), residual(1.1 * shift)) + 1e-9


def test_a_retry_with_a_smaller_radius_takes_no_product():
    matrix = SystemMatrix.from_entries(spectrum(0, np.linspace(1, 2, 12)))
    first = CG().solve(system(matrix, shift=1e-3, radius=0.5))
    again = CG().solve(system(matrix, shift=8e-3, radius=0.1))
    assert first.info["new_products"] == first.products > 0
    assert again.info["new_products"] == 0 and np.linalg.norm(again.x) == pytest.approx(0.1)


def test_a_direction_of_negative_curvature_is_followed_to_the_boundary():
    given = system(np.diag([-1.0, -2.0]), radius=3.0)
    solution = CG().solve(given)
    assert np.linalg.norm(solution.x) == pytest.approx(3.0)
    assert solution.status.usable and solution.x @ given.rhs > 0 and solution.shift > 0
