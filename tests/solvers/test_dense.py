"""Every solver against numpy.linalg.solve; statuses and residuals that tell the truth; nothing raises."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg
from sklearn.base import clone
from solver_checks import (
    ALL,
    DENSE,
    SEEDS,
    SPARSE,
    check,
    check_claims,
    failed,
    low_rank,
    name,
    spectrum,
    stored_for,
    system,
)

from qnewton_sk import SystemFacts, prune_symmetric
from qnewton_sk.solvers.conjugate_gradients import CG
from qnewton_sk.solvers.dense import LDL, LU, Cholesky
from qnewton_sk.solvers.sparse import SparseLU
from qnewton_sk.solvers.trust_region import MoreSorensen
from qnewton_sk.solvers.woodbury import Woodbury
from qnewton_sk.systems.linear_system import LinearSystem
from qnewton_sk.systems.solution import SolveStatus, solution_of
from qnewton_sk.systems.system_matrix import FACTORISATIONS, SystemMatrix

KEPT = {LU: "lu", Cholesky: "cholesky", LDL: "ldl"}


# -- right answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [*DENSE, *SPARSE], ids=name)
@given(SEEDS, st.integers(1, 12), st.floats(0, 3))
def test_definite(solver, seed, n, magnitude):
    H = spectrum(seed, np.logspace(0, magnitude, n))
    check(solver, system(stored_for(solver, H), tol=1e-12))


@pytest.mark.parametrize("solver", [LU(), LDL(), SparseLU()], ids=name)
@given(SEEDS, st.integers(2, 12))
def test_indefinite(solver, seed, n):
    values = np.random.default_rng(seed).uniform(0.5, 2, n)
    values[: n // 2] *= -1
    check(solver, system(stored_for(solver, spectrum(seed, values))))


@pytest.mark.parametrize("solver", [*DENSE, *SPARSE], ids=name)
@pytest.mark.parametrize("entry", [2.0, 1e-8, 1e8])
def test_one_unknown(solver, entry):
    check(solver, system(stored_for(solver, np.array([[entry]]))))


@pytest.mark.parametrize("solver", [LU(), LDL(), SparseLU()], ids=name)
def test_one_negative_unknown(solver):
    check(solver, system(stored_for(solver, np.array([[-2.0]]))))


@pytest.mark.parametrize("solver", [*DENSE, *SPARSE], ids=name)
def test_single_precision(solver):
    H = stored_for(solver, spectrum(0, np.linspace(1, 10, 20)).astype(np.float32))
    check(solver, system(H, tol=1e-5), rtol=1e-4)


@pytest.mark.parametrize("solver", [*DENSE, *SPARSE], ids=name)
@given(SEEDS, st.integers(1, 6))
def test_pruned(solver, seed, d):
    B = np.random.default_rng(seed).standard_normal((15, 15))
    P = prune_symmetric(B + B.T, d, keep_diagonal=True)
    H = P + np.abs(P).sum(axis=1).max() * np.eye(15) * 1.1
    check(solver, system(stored_for(solver, H)))


@pytest.mark.parametrize("solver", [*DENSE, Woodbury()], ids=name)
@given(SEEDS, st.integers(1, 12), st.integers(1, 8), st.floats(1e-2, 10))
def test_low_rank_plus_diagonal(solver, seed, n, rank, shift):
    check(solver, system(low_rank(seed, n, rank), tol=1e-12, shift=shift), rtol=1e-5)


@pytest.mark.parametrize("solver", [*DENSE, *SPARSE], ids=name)
def test_a_right_hand_side_of_zero(solver):
    given = replace(system(stored_for(solver, np.eye(4))), rhs=np.zeros(4))
    solution = solver.solve(given)
    assert solution.status is SolveStatus.SUCCESS and solution.relative_residual == 0 and not solution.x.any()


# -- failures are values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [LU(), LDL(), SparseLU()], ids=name)
@pytest.mark.parametrize("H", [np.zeros((3, 3)), np.diag([1.0, 0.0, 2.0]), np.ones((2, 2)), np.zeros((1, 1))])
def test_exactly_singular(solver, H):
    failed(solver.solve(system(stored_for(solver, H))), SolveStatus.SINGULAR)


@pytest.mark.parametrize("solver", [LU(), LDL()], ids=name)
@given(SEEDS, st.integers(2, 10))
def test_singular_to_working_precision_is_never_called_a_success_wrongly(solver, seed, n):
    values = np.linspace(1, 2, n)
    values[0] = 0.0
    given = system(spectrum(seed, values))
    solution = solver.solve(given)
    if solution.status is SolveStatus.SUCCESS:
        residual = np.linalg.norm(given.matrix.entries() @ solution.x - given.rhs) / np.linalg.norm(given.rhs)
        assert residual < 1e-6
    else:
        assert solution.status in (SolveStatus.SINGULAR, SolveStatus.INACCURATE)


@given(SEEDS, st.integers(1, 10))
def test_cholesky_says_that_a_matrix_is_not_definite(seed, n):
    values = np.linspace(1, 2, n)
    values[0] = -0.5
    failed(Cholesky().solve(system(spectrum(seed, values))), SolveStatus.NOT_POSITIVE_DEFINITE)


@pytest.mark.parametrize("solver", [*DENSE, *SPARSE], ids=name)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 3)])
def test_entries_that_are_not_finite_are_reported(solver, value, place):
    H = np.eye(5) + 0.1
    H[place] = H[place[::-1]] = value
    failed(solver.solve(system(stored_for(solver, H))), SolveStatus.NON_FINITE)


@given(
    st.integers(0, 10**6),
    st.integers(1, 150),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.sampled_from([0.0, 30.0]),
    st.data(),
)
def test_an_entry_that_is_not_finite_is_reported_wherever_it_is(seed, n, value, definite, data):
    """Blocked or not, whatever the pivots: LAPACK's factors are looked at, not all the entries."""
    B = np.random.default_rng(seed).standard_normal((n, n))
    H = B + B.T + definite * np.eye(n)
    i, j = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))
    H[i, j] = H[j, i] = value
    with np.errstate(all="ignore"):
        for solver in DENSE:
            failed(solver.solve(system(SystemMatrix.from_entries(H))), SolveStatus.NON_FINITE)


@pytest.mark.parametrize("solver", [*DENSE, Woodbury()], ids=name)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_right_hand_side_that_is_not_finite_is_reported(solver, value):
    given = system(low_rank(0, 5, 2), shift=1.0)
    given.rhs[2] = value
    failed(solver.solve(given), SolveStatus.NON_FINITE)


@pytest.mark.parametrize("solver", ALL, ids=name)
@given(
    SEEDS,
    st.integers(1, 6),
    st.sampled_from([0.0, 1e-320, 1e-160, 1.0, 1e160, 1e308]),
    st.floats(0, 1),
    st.booleans(),
)
def test_nothing_raises_and_everything_is_finite(solver, seed, n, scale, shift, single):
    dtype = np.float32 if single else float
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        G = (math.sqrt(scale) * rng.standard_normal((2, n))).astype(dtype)
        B = (scale * rng.choice([0.0, 1.0, -1.0, 0.5], (n, n))).astype(dtype)
        H = stored_for(solver, np.tril(B) + np.tril(B, -1).T)
    matrix = SystemMatrix.from_entries(H)
    if isinstance(solver, Woodbury):
        matrix = low_rank(seed, n, 2, dtype)
        matrix._factor = lambda: G
        matrix._assemble = lambda: H
    solution = solver.solve(system(matrix, shift=shift))
    assert isinstance(solution.status, SolveStatus) and solution.x.shape == (n,)
    assert np.isfinite(solution.x).all() and np.isfinite(solution.image).all()
    if solution.status.usable:
        assert math.isfinite(solution.relative_residual)
    if solution.status is SolveStatus.SUCCESS:
        assert solution.relative_residual <= math.sqrt(np.finfo(dtype).eps)


# -- conjugate gradients -------------------------------------------------------------------------------------


# -- factorisations and rejections -----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [LU(), Cholesky(), LDL()], ids=name)
def test_a_second_solve_factorises_no_more(solver, monkeypatch):
    kept, calls = KEPT[type(solver)], []
    compute = FACTORISATIONS[kept].of
    monkeypatch.setattr(FACTORISATIONS[kept], "of", lambda A: calls.append(1) or compute(A))
    given = system(spectrum(0, np.linspace(1, 3, 10)), shift=0.5)
    first = solver.solve(given)
    other = LinearSystem(given.matrix, -given.rhs, given.tol, given.facts)
    np.testing.assert_array_equal(solver.solve(other).x, -first.x)
    assert len(calls) == 1 and given.matrix.factorised == (kept,)
    solver.solve(replace(given, matrix=given.matrix.shifted(0.7)))
    assert len(calls) == 2


@pytest.mark.parametrize("solver", [LU(), Cholesky(), LDL()], ids=name)
def test_what_an_estimator_has_factorised_is_used(solver, monkeypatch):
    kept = KEPT[type(solver)]
    given = system(spectrum(0, np.linspace(1, 3, 10)))
    given.matrix.factorisation(kept)
    monkeypatch.setattr(FACTORISATIONS[kept], "of", lambda A: pytest.fail("factorised again"))
    check(solver, given)


@pytest.mark.parametrize("solver", DENSE, ids=name)
def test_matrix_and_right_hand_side_are_left_alone(solver):
    given = system(spectrum(0, np.linspace(1, 3, 10)), shift=0.5)
    H, b = given.matrix.entries().copy(), given.rhs.copy()
    solver.solve(given)
    np.testing.assert_array_equal(given.matrix.entries(), H)
    np.testing.assert_array_equal(given.rhs, b)


@pytest.mark.parametrize(
    "solver, facts, reason",
    [
        (LU(), {}, None),
        (LU(), {"positive_definite": False}, None),
        (LDL(), {"positive_definite": False}, None),
        (Cholesky(), {}, None),
        (Cholesky(), {"positive_definite": False}, "not positive definite"),
        (CG(), {"positive_definite": False}, "not positive definite"),
        (CG(), {"positive_definite": False, "radius": 1.0}, None),
        (CG(), {}, None),
        (Woodbury(), {"shift": 1.0}, "low-rank"),
        (Woodbury(), {"rank": 2, "shift": 0.0}, "shift must be positive"),
        (Woodbury(), {"rank": 2, "shift": 0.1}, None),
    ],
)
def test_rejection_reasons(solver, facts, reason):
    said = solver.rejection_reason(SystemFacts(n=5, **facts))
    assert said is None if reason is None else reason in said


@pytest.mark.parametrize("solver", ALL, ids=name)
def test_parts_can_be_cloned(solver):
    assert clone(solver).get_params() == solver.get_params()


def test_an_inaccurate_solution_says_so():
    given = system(np.diag([1.0, 2.0]))
    solution = solution_of(given, np.array([1.0, 1.0]))
    assert solution.status is SolveStatus.INACCURATE
    check_claims(solution, given, given.matrix.dense())


def test_lapack_agrees_on_a_hilbert_matrix():
    check(Cholesky(), system(linalg.hilbert(5)), rtol=1e-6)


@pytest.mark.parametrize("solver", [LU(), Cholesky(), LDL(), MoreSorensen()], ids=lambda s: type(s).__name__)
def test_direct_solvers_refuse_a_matrix_that_does_not_fit(solver):
    facts = SystemFacts(n=10**7, assembly_flops=1e9, radius=1.0)
    assert "GiB" in solver.rejection_reason(facts) and "available" in solver.rejection_reason(facts)
    assert solver.rejection_reason(replace(facts, assembly_flops=0.0)) is None  # it exists already
    assert solver.rejection_reason(SystemFacts(n=1000, assembly_flops=1e9, radius=1.0)) is None
