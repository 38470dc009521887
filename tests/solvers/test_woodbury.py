"""The Woodbury identity: right answers without entries, honest failures."""

import numpy as np
from solver_checks import check, failed, low_rank, system

from qnewton_sk.solvers.woodbury import Woodbury
from qnewton_sk.systems.solution import SolveStatus


def test_low_rank_in_single_precision():
    check(Woodbury(), system(low_rank(0, 30, 4, np.float32), tol=1e-4, shift=1.0), rtol=1e-4)


def test_woodbury_does_not_assemble():
    matrix = low_rank(0, 20, 3)
    matrix._product = lambda v: matrix.factor().T @ (matrix.factor() @ v) + matrix.factor_diagonal * v
    Woodbury().solve(system(matrix, shift=1.0))
    assert matrix.factored and not matrix.assembled


def test_a_factor_that_is_not_finite_is_reported():
    matrix = low_rank(0, 5, 2)
    matrix.factor()[0, 0] = np.nan
    failed(Woodbury().solve(system(matrix, shift=1.0)), SolveStatus.NON_FINITE)


def test_woodbury_without_a_positive_diagonal():
    failed(Woodbury().solve(system(low_rank(0, 5, 2), shift=-2.0)), SolveStatus.SINGULAR)
