"""Solves in single precision with corrections in double, against numpy and against the same solver in double."""

import math

import cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import make_moons
from systems_to_solve import unmeasured

from qnewton_sk import Backend, QNewtonClassifier, Scheduler, SystemFacts
from qnewton_sk.curvature.matrices import EmpiricalFisher, GaussNewton, Hessian
from qnewton_sk.machine import Rates
from qnewton_sk.solvers import dense as solvers
from qnewton_sk.solvers.dense import LDL, Cholesky, DirectCost
from qnewton_sk.solvers.single_precision import (
    MAX_RESIDUAL,
    ROUNDING,
    SinglePrecision,
    SinglePrecisionCost,
    solves_needed,
)
from qnewton_sk.solvers.trust_region import MoreSorensen, MoreSorensenCost
from qnewton_sk.systems.solution import SolveStatus
from qnewton_sk.systems.system_matrix import FACTORISATIONS, SystemMatrix

KAPPA_LIMIT = 1 / ROUNDING


def spectrum_matrix(seed, w):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(w), len(w))))[0]
    H = (Q * w) @ Q.T
    return (H + H.T) / 2


def definite(seed, n, kappa):
    return spectrum_matrix(seed, np.geomspace(1.0 / kappa, 1.0, n))


def lazy(H, **settings):
    """A matrix whose entries in double precision nobody may ask for."""

    def forbidden():
        raise AssertionError("entries in double precision")

    return SystemMatrix(
        len(H),
        assemble=forbidden,
        product=lambda v: H @ v,
        single=lambda: SystemMatrix(len(H), assemble=lambda: H.astype(np.float32), dtype=np.float32),
        assembly_flops=1e6,
        **settings,
    )


def system_of(matrix, b, tol=1e-6, shift=0.0, **settings):
    return unmeasured(matrix, b, tol, shift, **settings)


@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.floats(1, 1e5),
    st.sampled_from([1e-2, 1e-8, 1e-12]),
    st.sampled_from([1e-30, 1e-12, 1.0, 1e30]),
)
def test_the_residual_is_that_of_double_precision(seed, n, kappa, tol, scale):
    H, b = definite(seed, n, kappa), scale * np.random.default_rng(seed).standard_normal(n)
    solution = SinglePrecision(Cholesky()).solve(system_of(SystemMatrix.from_entries(H), b, tol))
    assert solution.status is SolveStatus.SUCCESS
    residual = np.linalg.norm(H @ solution.x - b) / np.linalg.norm(b)
    assert residual <= max(min(tol, MAX_RESIDUAL), 1e-15 * kappa)
    assert solution.relative_residual == pytest.approx(residual, abs=1e-15 * kappa)
    np.testing.assert_allclose(solution.image, H @ solution.x, atol=1e-14 * np.abs(b).max() * kappa)


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(1, 1e4), st.sampled_from([1e-3, 1e-6]))
def test_well_conditioned_systems_need_no_entries_in_double_precision(seed, n, kappa, tol):
    H, b = definite(seed, n, kappa), np.random.default_rng(seed).standard_normal(n)
    matrix = lazy(H)
    solution = SinglePrecision(Cholesky()).solve(system_of(matrix, b, tol))
    assert np.linalg.norm(H @ solution.x - b) <= tol * np.linalg.norm(b)
    assert not matrix.assembled
    assert solution.info["solves"] <= solves_needed(SystemFacts(n=n, kappa=kappa), tol)


@pytest.mark.parametrize("kappa", [1e8, 1e9])
def test_too_ill_conditioned_systems_are_solved_in_double_precision(kappa):
    H, b = definite(0, 30, kappa), np.ones(30)
    solution = SinglePrecision(Cholesky()).solve(system_of(SystemMatrix.from_entries(H), b, 1e-8))
    expected = Cholesky().solve(system_of(SystemMatrix.from_entries(H), b, 1e-8))
    assert solution.status is SolveStatus.SUCCESS
    np.testing.assert_array_equal(solution.x, expected.x)


@pytest.mark.parametrize(
    "b, status", [(np.zeros(3), SolveStatus.SUCCESS), (np.full(3, np.nan), SolveStatus.NON_FINITE)]
)
def test_right_hand_sides_of_zero_or_not_finite(b, status):
    solution = SinglePrecision(Cholesky()).solve(system_of(SystemMatrix.from_entries(np.eye(3)), b))
    assert solution.status is status
    assert not solution.x.any()


def test_entries_beyond_single_precision_are_left_to_double():
    H = np.diag([1e200, 1.0, 1e-3])
    solution = SinglePrecision(Cholesky()).solve(system_of(SystemMatrix.from_entries(H), np.ones(3)))
    np.testing.assert_allclose(solution.x, [1e-200, 1.0, 1e3])


def test_an_indefinite_matrix_is_told_as_by_cholesky():
    matrix = SystemMatrix.from_entries(np.diag([1.0, -1.0]))
    solution = SinglePrecision(Cholesky()).solve(system_of(matrix, np.ones(2)))
    assert solution.status is SolveStatus.NOT_POSITIVE_DEFINITE


@given(
    st.integers(0, 10**6),
    st.integers(2, 20),
    st.sampled_from([0.1, 1.0, 30.0]),
    st.sampled_from([1e-20, 1.0, 1e20]),
)
def test_exact_trust_region_steps_are_as_good_as_in_double(seed, n, radius, scale):
    rng = np.random.default_rng(seed)
    H, b = spectrum_matrix(seed, rng.standard_normal(n)), rng.standard_normal(n)
    b, radius = scale * b, scale * radius
    single, double = (
        solver.solve(system_of(SystemMatrix.from_entries(H), b, 1e-3, 1e-3, radius=radius))
        for solver in (SinglePrecision(MoreSorensen()), MoreSorensen())
    )
    models = [s.x @ H @ s.x / 2 - b @ s.x for s in (single, double)]
    assert single.status is SolveStatus.SUCCESS
    assert models[0] <= 0.5 * models[1] < 0  # both are within the same tolerance of the least value
    assert np.linalg.norm(single.x) <= 1.26 * radius
    shift = single.shift
    residual = np.linalg.norm(H @ single.x + shift * single.x - b) / np.linalg.norm(b)
    assert single.relative_residual == pytest.approx(residual, abs=1e-12)
    np.testing.assert_allclose(
        single.image, H @ single.x + 1e-3 * single.x, atol=1e-9 * scale * (1 + radius / scale)
    )


def test_the_search_in_double_precision_starts_at_the_shift_of_single_precision():
    """The entries in single precision are too far from the others here for corrections to converge."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        H, b = spectrum_matrix(seed, rng.standard_normal(20)), rng.standard_normal(20)
        noise = rng.standard_normal((20, 20)) * 0.01
        single = (H + noise + noise.T).astype(np.float32)

        def matrix(single=single, H=H):
            made = SystemMatrix(20, assemble=lambda: single, dtype=np.float32)
            return SystemMatrix(
                20, assemble=lambda: H, product=lambda v: H @ v, single=lambda: made, assembly_flops=1e6
            )

        system = system_of(matrix(), b, 1e-9, 30.0, radius=1.0)
        solution = SinglePrecision(MoreSorensen()).solve(system)
        alone = MoreSorensen().solve(system_of(matrix(), b, 1e-9, 30.0, radius=1.0))
        assert solution.info["factorisations"] == 1 <= alone.info["factorisations"]
        models = [found.x @ H @ found.x / 2 - b @ found.x for found in (solution, alone)]
        assert models[0] <= 0.56 * models[1] < 0 and abs(np.linalg.norm(solution.x) - 1) <= 0.26
        np.testing.assert_allclose(solution.image, H @ solution.x + 30.0 * solution.x, atol=1e-9)


@given(
    st.integers(0, 10**6),
    st.integers(2, 40),
    st.sampled_from([1e1, 1e3, 1e5, 1e7]),
    st.sampled_from([1e-2, 1e-6, 1e-12]),
)
def test_steps_inside_the_radius_are_as_exact_as_asked(seed, n, kappa, tol):
    """The damping says nothing about the condition of the matrix without it."""
    H, b = definite(seed, n, kappa), np.random.default_rng(seed).standard_normal(n)
    system = system_of(SystemMatrix.from_entries(H), b, tol, 1e-2, radius=1e9 * np.linalg.norm(b))
    solution = SinglePrecision(MoreSorensen()).solve(system)
    assert solution.status is SolveStatus.SUCCESS and solution.shift == 0.0
    assert np.linalg.norm(H @ solution.x - b) <= max(tol, 1e-15 * kappa) * np.linalg.norm(b)
    np.testing.assert_allclose(solution.image, H @ solution.x + 1e-2 * solution.x, atol=1e-9 * kappa)


@pytest.mark.parametrize(
    "diagonal, b, radius, shift",
    [
        ([-1e-20, 1e-20], [0.0, 1e-20], 1e3, 1.1e-20),
        ([-1.0, 2.0], [0.0, 1e-160], 1.0, 1.1),
        ([1.0, 2.0], [1e30, 1e30], 1e-10, 1e-3),
    ],
)
def test_numbers_out_of_the_range_of_single_precision(diagonal, b, radius, shift):
    matrix, b = SystemMatrix.from_entries(np.diag(diagonal)), np.array(b)
    single, double = (
        solver.solve(system_of(matrix, b, 1e-3, shift, radius=radius))
        for solver in (SinglePrecision(MoreSorensen()), MoreSorensen())
    )
    assert single.status is double.status is SolveStatus.SUCCESS
    models = [s.x @ (diagonal * s.x) / 2 - b @ s.x for s in (single, double)]
    assert models[0] <= 0.5 * models[1] < 0


def test_a_solution_that_is_inaccurate_in_single_precision_is_corrected():
    H, b = definite(3, 200, 1e5), np.random.default_rng(0).standard_normal(200)
    matrix = lazy(H)
    solution = SinglePrecision(Cholesky()).solve(system_of(matrix, b, 1e-3))
    assert solution.status is SolveStatus.SUCCESS and solution.relative_residual <= 1e-3
    assert not matrix.assembled


def test_no_fallback_to_double_precision_without_memory_for_it(monkeypatch):
    monkeypatch.setattr(solvers, "available_memory_bytes", lambda: 0)
    monkeypatch.setattr(solvers, "SMALL_ORDER", 0)
    solution = SinglePrecision(Cholesky()).solve(system_of(lazy(-np.eye(3)), np.ones(3)))
    assert solution.status is SolveStatus.FAILED


@pytest.mark.parametrize("case", cases.DATA, ids=str)
def test_the_objective_in_single_precision_holds_no_data_of_its_own(case):
    objective, theta = case.objective(), case.theta()
    single = objective.single()
    assert single.X is objective.X and single is objective.single()
    value, gradient = single.value_and_grad(theta.astype(np.float32))
    expected = objective.value_and_grad(theta)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(expected[0], rel=1e-5)
    assert cases.relative_error(gradient, expected[1]) < 1e-5
    assert single.batch(np.arange(single.n_samples)).dtype == np.float32


def test_what_is_in_single_precision_is_made_once_for_all_the_shifts():
    matrix = lazy(definite(0, 10, 10.0))
    assert matrix.single_flops == 1e6
    first, other = matrix.shifted(1.0).single(), matrix.shifted(2.0).single()
    assert (first.shift, other.shift) == (1.0, 2.0)
    assert first.entries() is other.entries()
    assert matrix.single_flops == 0.0
    assert matrix.assembly_seconds == first.assembly_seconds > 0


def test_a_second_right_hand_side_uses_the_same_factor(monkeypatch):
    """The correction of a step for the bend of the outputs is solved for with what the step has left."""
    matrix, solver = lazy(definite(0, 10, 10.0)), SinglePrecision(Cholesky())
    system = system_of(matrix, np.ones(10))
    solver.solve(system)
    assert system.matrix.factorised == ("cholesky_single",)
    monkeypatch.setattr(FACTORISATIONS["cholesky"], "of", lambda A: pytest.fail("factorised again"))
    solver.solve(system)
    assert (
        matrix.shifted(0.0).factorised == ()
    )  # a new view of the matrix has no factor; that of the system has


@pytest.mark.parametrize("kind", [Hessian, GaussNewton, EmpiricalFisher])
@pytest.mark.parametrize("partition", ["full", "layer"])
@pytest.mark.parametrize("case", [cases.NETS[3], cases.NETS[5], *cases.DATA], ids=str)
def test_every_curvature_has_its_entries_in_single_precision(case, kind, partition):
    theta = case.theta()
    for block in kind(partition).blocks(case.objective(), theta):
        single = block.matrix.single()
        assert not block.matrix.assembled
        assert single.entries().dtype == np.float32
        assert block.matrix.single_flops == 0.0
        assert cases.relative_error(single.entries(), block.matrix.entries()) < 1e-5


@pytest.mark.parametrize("case", cases.SINGLE_PRECISION, ids=str)
def test_a_fit_in_single_precision_has_no_other_one(case):
    matrix = Hessian().blocks(case.objective(), case.theta())[0].matrix
    assert matrix.single_flops is None
    refusal = SinglePrecision(Cholesky()).rejection_reason(system_of(matrix, np.ones(matrix.n)).facts)
    assert refusal == "there is no matrix in single precision"


def test_a_sparse_matrix_has_none():
    assert SystemMatrix.from_entries(sparse.eye_array(5, format="csr")).single_flops is None


COST = SinglePrecisionCost(DirectCost("cholesky"))


@pytest.mark.parametrize(
    "kappa, tol, words",
    [
        (None, 1e-3, "is not known"),
        (KAPPA_LIMIT, 1e-3, "1e+06"),
        (math.inf, 1e-3, "inf"),
        (1e5, 1e-6, "1e-06"),
        (1e5, 1e-3, None),
        (10.0, 1e-12, None),
    ],
)
def test_rejections_by_condition_number_and_tolerance(kappa, tol, words):
    reason = COST.rejection_reason(SystemFacts(n=100, kappa=kappa, single_flops=0.0), tol)
    assert reason is None if words is None else words in reason


@given(st.floats(1, 1e7), st.floats(1e-14, 0.5), st.floats(1, 10))
def test_more_digits_and_worse_conditions_need_more_solves(kappa, tol, factor):
    facts = [SystemFacts(n=10, kappa=k) for k in (kappa, factor * kappa)]
    assert 1 <= solves_needed(facts[0], tol) <= solves_needed(facts[1], tol)
    assert solves_needed(facts[0], tol) <= solves_needed(facts[0], tol / factor)


@pytest.mark.parametrize("inner", [DirectCost("cholesky"), MoreSorensenCost()])
def test_large_systems_cost_half(inner):
    rates = dict.fromkeys(("gemm", "lu", "cholesky", "ldl"), ((100, 1000000000.0),))
    inner = inner.set_params(rates=Rates(rates, single_speed=2.0))
    facts = SystemFacts(n=5000, kappa=100.0, assembly_flops=1e12, single_flops=1e12, product_flops=1e6)
    assert SinglePrecisionCost(inner)(facts, 1e-3).seconds == pytest.approx(
        0.5 * inner(facts, 1e-3).seconds, rel=0.01
    )
    small = SystemFacts(n=5, kappa=100.0, assembly_flops=1e3, single_flops=1e3)
    assert SinglePrecisionCost(inner)(small, 1e-3).seconds > inner(small, 1e-3).seconds


def test_the_scheduler_chooses_it_where_assembly_decides():
    facts = dict(
        n=800, kappa=1e3, positive_definite=True, shift=1e-3, norm=1.0, iterations=1000.0, product_flops=1e8
    )
    scheduler = Scheduler(hardware="ibm_sherbrooke")
    assert (
        scheduler.choose(SystemFacts(**facts, assembly_flops=1e10, single_flops=1e10), 0.1).chosen
        == "cholesky_single"
    )
    assert (
        scheduler.choose(SystemFacts(**facts, assembly_flops=0.0, single_flops=1e10), 0.1).chosen
        == "cholesky"
    )
    assert "cholesky_single" not in scheduler.choose(SystemFacts(**facts), 0.1).estimates


@pytest.mark.parametrize("solver", [MoreSorensen(), Cholesky(), LDL()])
def test_a_parameter_of_the_estimator_as_any_other(solver):
    single = SinglePrecision(solver)
    assert single.get_params()["solver"] is solver
    assert single.bounds_by == solver.bounds_by


@pytest.mark.parametrize("solver, curvature", [(MoreSorensen(), "hessian"), (Cholesky(), "gauss_newton")])
def test_fits_end_where_those_in_double_end(solver, curvature):
    X, y = make_moons(150, noise=0.1, random_state=0)
    losses = []
    for used in (solver, SinglePrecision(solver)):
        scheduler = Scheduler([Backend("mine", used, DirectCost("cholesky"))])
        net = QNewtonClassifier(
            (6,),
            alpha=1e-1,
            curvature=curvature,
            scheduler=scheduler,
            random_state=0,
            max_iter=600,
            tol=1e-6,
            n_iter_no_change=np.inf,
        )
        losses.append(net.fit(X, y).loss_)
        assert net.converged_
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
