"""The prediction of what a sparse factorisation takes, against SuperLU."""

import math

import numpy as np
import pytest
from scipy import sparse

from qnewton_sk import prune_symmetric
from qnewton_sk.systems.factorisations import Inertia
from qnewton_sk.systems.sparse_lu import sparse_lu_core, sparse_lu_flops
from qnewton_sk.systems.system_matrix import SystemMatrix


@pytest.mark.parametrize("d", [4, 6, 10, 20])
def test_predicted_core_is_that_of_superlu(d):
    B = np.random.default_rng(d).standard_normal((600, 600))
    H = prune_symmetric(B + B.T, d, output="csr", keep_diagonal=True)
    lu = SystemMatrix.from_entries(H, shift=100.0).factorisation("sparse_lu").factors
    assert sparse_lu_core(600, H.nnz) == pytest.approx(math.sqrt(lu.nnz), abs=0.08 * 600)


def test_flops_of_a_diagonal_matrix_are_linear():
    assert sparse_lu_flops(1000, 1000) == 200 * 1000


def test_a_sparse_definite_matrix_tells_its_signs():
    H = sparse.diags_array([np.full(50, 4.0), np.ones(49), np.ones(49)], offsets=[0, 1, -1], format="csr")
    for shift, positive in ((0.0, 50), (-4.0, None), (-10.0, 0)):
        inertia = SystemMatrix.from_entries(H, shift=shift).factorisation("sparse_lu").inertia()
        if positive is not None:
            assert inertia == Inertia(50 - positive, 0, positive)
