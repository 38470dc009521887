"""Solutions and failures as the helpers build them, and the base classes to subclass."""

import math

import numpy as np
import pytest

from qnewton_sk import (
    LinearSystem,
    SolveStatus,
    SystemFacts,
    SystemMatrix,
    failure,
    solution_of,
)

FACTS = SystemFacts(n=2)


def system(scale=1.0, tol=1e-6, shift=0.0):
    matrix = SystemMatrix.from_entries(np.diag([2.0, 4.0]), shift=shift)
    return LinearSystem(matrix, scale * np.array([2.0, 4.0]), tol, FACTS)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_the_residual_is_measured_at_any_scale(scale):
    exact, poor = (solution_of(system(scale), scale * np.array(x)) for x in ([1.0, 1.0], [1.0, 0.5]))
    assert exact.status is SolveStatus.SUCCESS and exact.relative_residual == 0.0
    assert poor.status is SolveStatus.INACCURATE
    assert poor.relative_residual == pytest.approx(2 / math.sqrt(20))
    np.testing.assert_allclose(poor.image, scale * np.array([2.0, 2.0]))


def test_a_status_of_the_solver_stays():
    poor = solution_of(system(), np.zeros(2), SolveStatus.MAX_ITERATIONS, products=3, norm=4.0, note="mine")
    assert poor.status is SolveStatus.MAX_ITERATIONS and poor.relative_residual == 1.0
    assert (poor.products, poor.norm, poor.shift, dict(poor.info)) == (3, 4.0, None, {"note": "mine"})


def test_a_shift_of_the_solutions_own_is_that_of_its_residual():
    given = system(shift=0.5)
    x = given.rhs / np.array([5.0, 7.0])  # of H + 3 I
    own = solution_of(given, x, shift=3.0)
    assert own.status is SolveStatus.SUCCESS and own.relative_residual < 1e-15
    np.testing.assert_allclose(own.image, given.matrix.product(x))
    assert solution_of(given, x).status is SolveStatus.INACCURATE
    # a step that the solver cut is no failure to solve
    assert solution_of(given, 0.5 * x, shift=3.0).status is SolveStatus.SUCCESS


@pytest.mark.parametrize("x", [[math.nan, 0.0], [math.inf, 0.0], [1e308, 1e308]])
def test_what_is_not_finite_becomes_a_failure(x):
    with np.errstate(over="ignore"):
        lost = solution_of(system(), np.array(x), products=2, note="mine")
    assert lost.status is SolveStatus.NON_FINITE and not lost.x.any() and lost.relative_residual == math.inf
    assert lost.products == 2 and lost.info == {"note": "mine"}


def test_a_failure_has_no_solution():
    lost = failure(system(), SolveStatus.FAILED, reason="power cut")
    assert not lost.x.any() and not lost.image.any() and lost.info["reason"] == "power cut"
    assert (
        failure(LinearSystem(system().matrix, np.zeros(2), 1e-6, FACTS), SolveStatus.FAILED).relative_residual
        == 0
    )
