"""A matrix that is not symmetric is refused by all that takes one, alike and by name; faults get the name of a part."""

import math

import numpy as np
import pytest
from scipy import sparse

from qnewton_sk import SystemMatrix, condition_number, prune_symmetric
from qnewton_sk.conditioning import extreme_eigenvalues, inertia, spectral_density, spectrum_table
from qnewton_sk.systems.checks import BLOCK_ROWS, checked_symmetric, fault_of, must

TAKES_A_MATRIX = [
    SystemMatrix.from_entries,
    condition_number,
    lambda H: prune_symmetric(H, 1),
    extreme_eigenvalues,
    inertia,
    spectral_density,
    spectrum_table,
]


def large(i, j):
    """Asymmetric at one place alone, far from the first block."""
    H = np.eye(2 * BLOCK_ROWS + 3)
    H[i, j] = 1e-3
    return H


@pytest.mark.parametrize("take", TAKES_A_MATRIX)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.coo_matrix])
@pytest.mark.parametrize(
    "H", [np.array([[1.0, 2.0], [3.0, 4.0]]), large(-1, 0), large(0, -1), large(300, 301)]
)
def test_an_asymmetric_matrix_is_refused(take, form, H):
    with pytest.raises(ValueError, match=r"`H` must be symmetric to within .* pass \(H \+ H.T\) / 2"):
        take(form(H))


@pytest.mark.parametrize("take", TAKES_A_MATRIX)
@pytest.mark.parametrize(
    "H", [np.eye(2) * 1j, np.ones((2, 3)), np.ones(3), np.ones((0, 0)), np.full((1, 1), "a")]
)
def test_what_is_no_real_square_matrix_is_refused(take, H):
    with pytest.raises(ValueError, match="`H` must be a"):
        take(H)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1.0, 1e300, 1.7e308])
def test_symmetry_is_judged_at_any_scale(scale):
    H = np.array([[1.0, 0.5], [0.5, -1.0]]) * scale
    assert checked_symmetric(H) is H
    with pytest.raises(ValueError, match="symmetric"):
        checked_symmetric(np.array([[1.0, 1.0], [-1.0, 1.0]]) * scale)


def test_rounding_is_averaged_away():
    H = np.array([[1.0, 1.0], [1.0 + 1e-15, 1.0]])
    matrix = SystemMatrix.from_entries(H)
    np.testing.assert_array_equal(matrix.entries(), matrix.entries().T)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.longdouble])
def test_other_numbers_become_double_precision(dtype):
    matrix = SystemMatrix.from_entries(np.eye(3, dtype=dtype))
    assert matrix.dtype == matrix.entries().dtype == np.float64


def test_a_system_takes_what_is_not_finite_but_only_symmetrically():
    H = np.eye(3)
    H[0, 1] = math.nan
    for form in (np.asarray, sparse.csr_array):
        with pytest.raises(ValueError, match="on only one side of the diagonal"):
            SystemMatrix.from_entries(form(H))
    H[1, 0] = math.inf
    assert SystemMatrix.from_entries(H).entries() is H
    with pytest.raises(ValueError, match="`H` must be finite"):
        condition_number(H)


def test_a_fault_gets_the_name_of_the_innermost_part_alone():
    with pytest.raises(TypeError) as raised, fault_of("`outer`"), fault_of("`inner`"):
        math.sqrt("x")
    assert raised.value.__notes__ == ["This was raised by `inner`."]


def test_an_error_that_names_its_parameter_gets_no_note():
    with pytest.raises(ValueError, match="`loss` must be smooth") as raised, fault_of("`step_control`"):
        raise must("loss", "be smooth", 3)
    assert not hasattr(raised.value, "__notes__")


def test_an_interruption_is_no_fault():
    with pytest.raises(KeyboardInterrupt) as raised, fault_of("`solver`"):
        raise KeyboardInterrupt
    assert not hasattr(raised.value, "__notes__")
