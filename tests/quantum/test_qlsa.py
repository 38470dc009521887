"""The emulated quantum solver: every fidelity against exact solutions, its account, refinement, bad input."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from systems_to_solve import error, random_system, system_of

from qnewton_sk import QuantumCost, Solver, SystemFacts, logical_qubits, query_count
from qnewton_sk.quantum.block_encoding import block_encoding_factor
from qnewton_sk.quantum.chebyshev import inverse_degree
from qnewton_sk.quantum.qlsa import FIDELITIES, QLSA
from qnewton_sk.quantum.readout import norm_estimation_runs
from qnewton_sk.solvers.dense import LDL, LU
from qnewton_sk.systems.linear_system import LinearSystem
from qnewton_sk.systems.solution import SolveStatus
from qnewton_sk.systems.system_matrix import SystemMatrix

WITHOUT_EXTRA = ("ideal", "noisy", "polynomial")


sizes, seeds = st.integers(1, 40), st.integers(0, 10**6)


@given(sizes, st.floats(1.0, 1e3), seeds)
def test_ideal_gives_the_exact_solution_and_the_quantum_account(n, kappa, seed):
    system = random_system(n, kappa, seed)
    solution, exact = QLSA().solve(system), LU().solve(system)
    np.testing.assert_array_equal(solution.x, exact.x)
    assert solution.status is SolveStatus.SUCCESS and solution.relative_residual == exact.relative_residual
    alpha = block_encoding_factor(system.facts)
    assert solution.info["queries"] == query_count(system.facts.kappa, system.tol, alpha=alpha)
    assert solution.info["copies"] == 1 and solution.info["rounds"] == 1
    assert solution.info["qubits"] == logical_qubits(n)


def test_ideal_uses_the_given_reference_solver():
    system = random_system(12, 30.0, 0)
    np.testing.assert_array_equal(QLSA().solve(system, reference=LDL()).x, LDL().solve(system).x)


def test_ideal_and_noisy_never_assemble_what_their_reference_does_not_need():
    class Diagonal:
        def solve(self, system):
            return LU().solve(system_of(np.diag(np.arange(1.0, 9.0)), system.rhs))

    matrix = SystemMatrix(
        8, assemble=lambda: 1 / 0, product=lambda v: np.arange(1.0, 9.0) * v, product_flops=8
    )
    system = LinearSystem(matrix, np.ones(8), 1e-3, SystemFacts(n=8, kappa=8.0))
    for solver in (QLSA(), QLSA("noisy", random_state=0)):
        assert solver.solve(system, reference=Diagonal()).status is SolveStatus.SUCCESS
    assert not matrix.assembled


@pytest.mark.parametrize("definite", [True, False])
@given(n=sizes, kappa=st.floats(1.0, 200.0), seed=seeds, tol=st.floats(1e-8, 0.3), scale=st.floats(1e-6, 1e6))
def test_the_polynomial_meets_its_error_bound(definite, n, kappa, seed, tol, scale):
    system = random_system(n, kappa, seed, tol, definite, scale)
    solution = QLSA("polynomial").solve(system)
    assert solution.status is SolveStatus.SUCCESS
    assert error(solution, system) <= tol * (1 + 1e-3) + 1e-10  # and rounding
    info = solution.info
    assert (
        info["degree"] == inverse_degree(system.facts.kappa, tol)
        and info["state_error"] >= error(solution, system) / 2
    )
    assert info["queries"] == pytest.approx(info["degree"] / info["success_probability"])


@given(n=st.integers(2, 20), kappa=st.floats(2.0, 100.0), seed=seeds)
def test_the_success_probability_is_that_of_the_solution(n, kappa, seed):
    """||P(A) b||^2 = (s ||A^-1 b|| ||A|| / ||b||)^2 up to the error of the polynomial."""
    system = random_system(n, kappa, seed, tol=1e-8, scale=3.0)
    A, b = system.matrix.dense(), system.rhs
    info = QLSA("polynomial").solve(system).info
    amplitude = np.linalg.norm(np.linalg.solve(A, b)) * np.linalg.norm(A, 2) / np.linalg.norm(b)
    share = np.sqrt(info["success_probability"]) / amplitude
    assert (
        0.3 / system.facts.kappa < share < 0.9
    )  # the factor s, between 0.4 and 0.7 of 1 / kappa at this error
    assert info["success_probability"] <= 0.81


def test_a_condition_number_given_too_small_raises_the_error():
    honest = random_system(16, 100.0, 3, tol=1e-6)
    claimed = system_of(honest.matrix.dense(), honest.rhs, 1e-6, kappa=10.0)
    assert error(QLSA("polynomial").solve(honest), honest) < 1e-6
    assert error(QLSA("polynomial").solve(claimed), claimed) > 1e-2


def test_without_a_given_condition_number_the_polynomial_uses_the_true_one():
    system = random_system(16, 100.0, 3)
    unknown = system_of(system.matrix.dense(), system.rhs, kappa=None)
    np.testing.assert_allclose(
        QLSA("polynomial").solve(unknown).x, QLSA("polynomial").solve(system).x, rtol=1e-9
    )
    assert np.isnan(QLSA().solve(unknown).info["queries"])


@given(n=st.integers(2, 40), seed=seeds, tol=st.floats(1e-9, 0.2))
def test_noise_has_the_requested_size(n, seed, tol):
    system = random_system(n, 50.0, seed, tol)
    solution = QLSA("noisy", random_state=seed).solve(system)
    # state, readout and norm, each about tol or below
    assert 0.05 * tol < error(solution, system) < 4 * tol


def test_noisy_errors_add_up_as_theory_says():
    """State error tol, readout sqrt((n - 1) / (2 copies)) for even magnitudes, over repeated seeded runs."""
    n, tol, delta = 16, 3e-3, 5e-3
    b = np.random.default_rng(0).choice([-1.0, 1.0], n)
    system = system_of(np.eye(n) * 2.0, b, tol)
    x = b / 2
    squared = []
    for seed in range(300):
        y = QLSA("noisy", readout_error=delta, random_state=seed).solve(system).x
        y = y / np.linalg.norm(y)
        squared.append(np.linalg.norm(y - x / np.linalg.norm(x)) ** 2)
    copies = n / delta**2
    expected = tol**2 * (n - 1) / n + (n - 1) / (2 * copies)
    assert np.mean(squared) == pytest.approx(expected, rel=0.1)


@given(n=st.integers(2, 30), seed=seeds)
def test_the_account_of_a_noisy_solve_adds_up(n, seed):
    system, delta = random_system(n, 20.0, seed), 1e-2
    info = QLSA("noisy", readout_error=delta, refinements=2, random_state=0).solve(system).info
    one = query_count(system.facts.kappa, system.tol, alpha=block_encoding_factor(system.facts))
    runs = norm_estimation_runs(info["success_probability"], delta)
    assert info["copies"] == pytest.approx(3 * n / delta**2)
    assert info["norm_estimation_runs"] == 3 * runs
    # a run of the norm estimation is not repeated until it succeeds
    single_runs = info["norm_estimation_runs"] * info["success_probability"]
    assert info["queries"] == pytest.approx(one * (info["copies"] + single_runs))
    assert (info["readout_error"], info["norm_error"], info["state_error"]) == (delta, delta, system.tol)


@pytest.mark.parametrize("refinements", [0, 2])
def test_the_account_agrees_with_the_cost_model(refinements):
    system = random_system(24, 20.0, 1, tol=1e-2)
    info = QLSA("noisy", refinements=refinements, random_state=0).solve(system).info
    switches = {"base": "end_to_end", "refinement_tol": 1e-2}
    resources = QuantumCost(assumptions=switches).resources(system.facts, 1e-2 ** (refinements + 1))
    assert resources.refinement_rounds == info["rounds"] == refinements + 1
    assert info["queries"] == pytest.approx(resources.total_queries)
    assert info["copies"] == pytest.approx(resources.measurements)


@pytest.mark.parametrize("fidelity", ["noisy", "polynomial"])
@pytest.mark.parametrize("definite", [True, False])
@given(seed=seeds, kappa=st.floats(2.0, 300.0))
def test_refinement_turns_two_digits_into_ten(fidelity, definite, seed, kappa):
    system = random_system(15, kappa, seed, 1e-2, definite)
    solver = QLSA(fidelity, readout_error=1e-2, refinements=8, random_state=seed)
    once = error(clone(solver).set_params(refinements=0).solve(system), system)
    many = solver.solve(system)
    assert many.info["rounds"] == 9
    assert 1e-4 < once < 6e-2
    assert error(many, system) < 1e-10


def test_each_refinement_multiplies_the_error_by_that_of_one_solve():
    system = random_system(20, 200.0, 5, tol=1e-2)
    errors = [error(QLSA("noisy", refinements=k, random_state=1).solve(system), system) for k in range(6)]
    ratios = np.array(errors[1:]) / errors[:-1]
    assert (ratios < 4e-2).all() and (ratios > 1e-4).all()


@pytest.mark.parametrize("fidelity", ["noisy", "polynomial"])
def test_noise_differs_between_systems_and_repeats_with_the_seed(fidelity):
    solver = QLSA(fidelity, readout_error=1e-2, random_state=4)
    first, second = random_system(6, 5.0, 0), random_system(6, 5.0, 1)
    same = LinearSystem(first.matrix, first.rhs.copy(), first.tol, first.facts)
    np.testing.assert_array_equal(solver.solve(first).x, solver.solve(same).x)
    noise = [s / np.linalg.norm(s) for s in (_noise(solver, first), _noise(solver, second))]
    assert abs(noise[0] @ noise[1]) < 0.99
    other = clone(solver).set_params(random_state=5)
    assert not np.array_equal(solver.solve(first).x, other.solve(first).x)


def _noise(solver, system):
    return solver.solve(system).x - np.linalg.solve(system.matrix.dense(), system.rhs)


def test_a_random_state_repeats_and_none_does_not():
    system = random_system(6, 5.0, 0)
    shared = [QLSA("noisy", random_state=np.random.RandomState(3)).solve(system).x for _ in range(2)]
    np.testing.assert_array_equal(*shared)
    free = [QLSA("noisy", random_state=None).solve(system).x for _ in range(2)]
    assert not np.array_equal(*free)


@pytest.mark.parametrize("fidelity", WITHOUT_EXTRA)
def test_a_solver_never_remembers_a_run(fidelity):
    solver = QLSA(fidelity, random_state=0)
    before = dict(vars(solver))
    solver.solve(random_system(5, 5.0, 0))
    assert vars(solver) == before


@pytest.mark.parametrize("fidelity", WITHOUT_EXTRA)
@pytest.mark.parametrize(
    ("A", "b", "status"),
    [
        (np.diag([1.0, 0.0, 2.0]), np.ones(3), SolveStatus.SINGULAR),
        (np.zeros((3, 3)), np.ones(3), SolveStatus.SINGULAR),
        (np.full((3, 3), np.nan), np.ones(3), SolveStatus.NON_FINITE),
        (np.diag([1.0, np.inf, 1.0]), np.ones(3), SolveStatus.NON_FINITE),
        (np.eye(3), np.array([1.0, np.nan, 0.0]), SolveStatus.NON_FINITE),
        (np.eye(3), np.array([1.0, np.inf, 0.0]), SolveStatus.NON_FINITE),
    ],
)
def test_failures_are_statuses(fidelity, A, b, status):
    system = LinearSystem(SystemMatrix.from_entries(A), b, 1e-3, SystemFacts(n=3, kappa=10.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = QLSA(fidelity, random_state=0).solve(system)
    assert solution.status is status and not solution.status.usable
    assert not solution.x.any() and solution.relative_residual == np.inf


@pytest.mark.parametrize("fidelity", WITHOUT_EXTRA)
def test_nothing_is_run_for_a_right_hand_side_of_zero(fidelity):
    solution = QLSA(fidelity, random_state=0).solve(system_of(np.eye(5), np.zeros(5)))
    assert solution.status is SolveStatus.SUCCESS and not solution.x.any() and solution.relative_residual == 0
    assert solution.info["queries"] == solution.info["copies"] == solution.info["rounds"] == 0


def test_a_matrix_that_is_not_symmetric_is_rejected():
    system = LinearSystem(
        SystemMatrix(2, assemble=lambda: np.array([[1.0, 2.0], [0.0, 1.0]])),
        np.ones(2),
        1e-3,
        SystemFacts(n=2, kappa=6.0),
    )
    with pytest.raises(
        ValueError, match=r"`system.matrix` must be symmetric; got .*\[\[0, A\], \[A.T, 0\]\]"
    ):
        QLSA("polynomial").solve(system)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17])
def test_info_says_how_far_the_registers_are_padded(n):
    info = QLSA("polynomial").solve(random_system(n, 3.0, 0)).info
    assert info["padded_n"] >= max(n, 2) and np.log2(info["padded_n"]) % 1 == 0
    assert info["padded_n"] < 2 * n or n == 1


@pytest.mark.parametrize("fidelity", WITHOUT_EXTRA)
def test_float32_systems_have_float32_solutions(fidelity):
    system = random_system(10, 5.0, 0)
    single = LinearSystem(
        SystemMatrix.from_entries(system.matrix.dense().astype(np.float32)),
        system.rhs.astype(np.float32),
        1e-2,
        system.facts,
    )
    solution = QLSA(fidelity, random_state=0).solve(single)
    assert solution.x.dtype == solution.image.dtype == np.float32
    assert error(solution, system) < 0.1


def test_the_image_is_the_product_with_the_solution():
    system = random_system(10, 5.0, 0)
    solution = QLSA("noisy", random_state=0, refinements=1).solve(system)
    np.testing.assert_allclose(solution.image, system.matrix.dense() @ solution.x)
    residual = np.linalg.norm(solution.image - system.rhs) / np.linalg.norm(system.rhs)
    assert solution.relative_residual == pytest.approx(residual)


def test_a_solution_with_a_larger_residual_than_zero_is_inaccurate():
    rough = random_system(30, 1e6, 0, tol=0.2)
    assert QLSA("noisy", random_state=0).solve(rough).status is SolveStatus.INACCURATE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fidelity": "perfect"}, r"`fidelity` must be one of \('ideal', .*got 'perfect'"),
        ({"queries": "grover"}, r"`queries` must be one of"),
        ({"readout_error": 0.0}, r"`readout_error` must be None or in \(0, 1\); got 0.0"),
        ({"readout_error": 1.5}, "`readout_error`"),
        ({"readout_error": "x"}, r"`readout_error` must be None or in \(0, 1\); got 'x'"),
        ({"readout_error": np.nan}, "`readout_error`"),
        ({"fidelity": None}, "`fidelity` must be one of"),
        ({"random_state": "x"}, "`random_state` must be None, an int in .* or a RandomState; got 'x'"),
        ({"random_state": -1}, "`random_state`"),
        ({"random_state": 2**32}, "`random_state`"),
        ({"refinements": -1}, "`refinements` must be an int >= 0; got -1"),
        ({"refinements": 0.5}, "`refinements`"),
    ],
)
def test_settings_out_of_range_are_named_before_any_work(settings, message):
    with pytest.raises(ValueError, match=message):
        QLSA(**settings).rejection_reason(SystemFacts(n=4, kappa=2.0))
    with pytest.raises(ValueError, match=message):
        QLSA(**settings).solve(random_system(4, 2.0, 0))


@pytest.mark.parametrize("tol", [0.0, 1.0, -1.0, np.nan, "x", None])
def test_a_tolerance_out_of_range_is_rejected(tol):
    with pytest.raises(ValueError, match=r"`system.tol` must be in \(0, 1\)"):
        QLSA().solve(random_system(4, 2.0, 0, tol))


def test_it_keeps_the_contract_of_a_solver():
    assert isinstance(QLSA(), Solver)
    assert (QLSA.needs, QLSA.bounds_by, QLSA.takes_reference) == ("entries", "shift", True)


@pytest.mark.parametrize("fidelity", ["noisy", "polynomial"])
@given(exponent=st.integers(-1060, 1015), seed=seeds)
def test_the_solution_scales_with_the_right_hand_side_over_all_floats(fidelity, exponent, seed):
    system = random_system(6, 20.0, seed % 50, tol=1e-3)
    solver = QLSA(fidelity, random_state=np.random.RandomState(seed % 50))
    expected = clone(solver).solve(system)
    scaled = replace(system, rhs=np.ldexp(system.rhs, exponent))
    solution = clone(solver).solve(scaled)
    assert solution.status is SolveStatus.SUCCESS
    assert solution.relative_residual == pytest.approx(expected.relative_residual, rel=1e-2)
    # denormal right-hand sides have few digits
    np.testing.assert_allclose(solution.x, np.ldexp(expected.x, exponent), rtol=1e-3, atol=1e-320)


@pytest.mark.parametrize("fidelity", ["noisy", "polynomial"])
def test_a_solution_that_overflows_is_a_status(fidelity):
    system = system_of(np.diag([1e-3, 1.0]), np.array([1e308, 1e308]))
    assert QLSA(fidelity, random_state=0).solve(system).status is SolveStatus.NON_FINITE


@pytest.mark.parametrize("fidelity", WITHOUT_EXTRA)
@pytest.mark.parametrize("tol", [1e-20, 1e-170, 1e-300, 5e-324])
def test_errors_of_any_size_are_asked_for_without_an_exception(fidelity, tol):
    system = random_system(5, 3.0, 0, tol)
    solution = QLSA(fidelity, random_state=0, readout_error=tol).solve(system)
    assert solution.status is SolveStatus.SUCCESS and error(solution, system) < 1e-12


@given(kappa=st.floats(1.0, 1e308), tol=st.floats(1e-300, 0.5))
def test_a_claimed_condition_number_of_any_size_is_a_count_or_a_reason(kappa, tol):
    system = replace(random_system(4, 3.0, 0, tol), facts=SystemFacts(n=4, kappa=kappa))
    assert QLSA().rejection_reason(system.facts) is None
    assert QLSA().solve(system).info["queries"] > 0
    assert QLSA("noisy", random_state=0).solve(system).info["queries"] > 0
    if kappa > 1e6:
        assert "degree" in QLSA("polynomial").rejection_reason(system.facts)
        assert "degree" in QLSA("polynomial").solve(system).info["reason"]


def test_a_loose_tolerance_is_counted_as_the_maximum_that_the_model_allows():
    system = random_system(4, 20.0, 0, tol=0.5)
    alpha = block_encoding_factor(system.facts)
    assert QLSA().solve(system).info["queries"] == query_count(system.facts.kappa, 0.24, alpha=alpha)


def test_rejections_say_why():
    assert QLSA().rejection_reason(SystemFacts(n=4, kappa=2.0)) is None
    for fidelity in WITHOUT_EXTRA:
        assert "must be known and finite (set `condition_number`" in QLSA(fidelity).rejection_reason(
            SystemFacts(n=4)
        )
        assert "must be known and finite" in QLSA(fidelity).rejection_reason(SystemFacts(n=4, kappa=np.inf))
    assert "degree" in QLSA("polynomial").rejection_reason(SystemFacts(n=4, kappa=1e7))
    assert QLSA("noisy").rejection_reason(SystemFacts(n=4, kappa=1e7)) is None
    assert "up to 64 unknowns, got 65" in QLSA("circuit").rejection_reason(SystemFacts(n=65, kappa=2.0))


def test_a_degree_out_of_reach_is_a_failure_with_its_reason():
    system = system_of(np.diag([1.0, 1e-8]), np.ones(2))
    solution = QLSA("polynomial").solve(system)
    assert solution.status is SolveStatus.FAILED and "degree" in solution.info["reason"]


def test_fidelities_are_those_that_the_documentation_lists():
    assert FIDELITIES == ("ideal", "noisy", "polynomial", "circuit")
