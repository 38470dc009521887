"""The same answers for numbers of any size, and no warning out of the numerics."""

import math

import numpy as np
import pytest
from scipy import sparse

from qnewton_sk import SystemMatrix, condition_number, oracle_sparsity, prune_symmetric
from qnewton_sk.conditioning import extreme_eigenvalues, inertia, prepare, spectral_density, spectrum_table
from qnewton_sk.conditioning.condition_number import METHODS
from qnewton_sk.conditioning.lanczos import block_lanczos
from qnewton_sk.conditioning.spectrum import effective_rank, trace

KAPPA = 13.07
Q = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
A = (Q * [KAPPA, -5.0, 3.0, 2.0, -1.5, 1.0]) @ Q.T
H = (A + A.T) / 2

FORMS = [np.asarray, sparse.csr_array]
DOUBLE = [1e-310, 1e-300, 1e-160, 1e-30, 1e30, 1e160, 1e300, 1e307]
SINGLE = [1e-38, 1e-25, 1e-12, 1e12, 1e19, 1e30, 2e37]
SCALES = [(np.float64, scale) for scale in DOUBLE] + [(np.float32, scale) for scale in SINGLE]

pytestmark = [pytest.mark.parametrize("form", FORMS), pytest.mark.filterwarnings("error")]
at_any_scale = pytest.mark.parametrize("dtype, scale", SCALES)


def digits(dtype, scale):
    """Relative error of the entries: denormal numbers have fewer digits."""
    return float(np.finfo(dtype).eps) + float(np.finfo(dtype).smallest_subnormal) / scale


def scaled(dtype, scale):
    return (H * scale).astype(dtype)


@at_any_scale
def test_a_condition_number_does_not_depend_on_the_scale(form, dtype, scale):
    for method in METHODS:
        expected = condition_number(H.astype(dtype), method)
        found = condition_number(form(scaled(dtype, scale)), method)
        assert found == pytest.approx(expected, rel=2e4 * digits(dtype, scale)), method
        if found.norm is not None and method != "shift":
            assert found.norm == pytest.approx(KAPPA * scale, rel=1e-3), method
        assert found.positive_definite == expected.positive_definite


@at_any_scale
def test_the_shift_bound_does_not_depend_on_the_scale(form, dtype, scale):
    dominant = np.diag([5.0, 6.0, 7.0]) + 0.5
    found = condition_number(form((dominant * scale).astype(dtype)), "shift")
    assert found == pytest.approx(condition_number(dominant, "shift"), rel=1e-4)


@at_any_scale
def test_the_spectrum_follows_the_scale(form, dtype, scale):
    matrix, rel = form(scaled(dtype, scale)), 200 * digits(dtype, scale) + 1e-4
    low, high = extreme_eigenvalues(matrix)
    assert low / scale == pytest.approx(-5.0, rel=rel) and high / scale == pytest.approx(KAPPA, rel=rel)
    assert inertia(matrix) == (2, 0, 4)
    assert trace(matrix).value / scale == pytest.approx(np.trace(H), rel=rel)
    assert effective_rank(matrix) == pytest.approx(effective_rank(H), rel=10 * rel)
    density = spectral_density(matrix)
    assert density.weights.sum() == pytest.approx(1.0)
    assert np.abs(density.nodes).max() <= high * (1 + rel)
    assert spectrum_table(matrix)["negative"] == [2]


@at_any_scale
def test_pruning_does_not_depend_on_the_scale(form, dtype, scale):
    matrix = form(scaled(dtype, scale))
    kept = prune_symmetric(matrix, keep=1.0, output="dense")
    np.testing.assert_array_equal(kept, scaled(dtype, scale))
    share = prune_symmetric(matrix, keep=0.9, output="dense")
    np.testing.assert_array_equal(share != 0, prune_symmetric(H, keep=0.9) != 0)


@at_any_scale
def test_sparsity_does_not_depend_on_the_scale(form, dtype, scale):
    shares = [0.5, 0.9, 1.0]
    found = oracle_sparsity(form(scaled(dtype, scale)), shares)
    np.testing.assert_array_equal(found, oracle_sparsity(H, shares))


@at_any_scale
@pytest.mark.parametrize("settings", [{}, {"radius": 1.0, "norm_hint": 1.0}, {"oracle_sparsity": 3}], ids=str)
def test_a_system_of_any_scale_is_measured(form, dtype, scale, settings):
    for method in METHODS:
        matrix = SystemMatrix.from_entries(form(scaled(dtype, scale)))
        facts = prepare(matrix, np.ones(6, dtype), 1e-6, 0.0, condition_number=method, **settings).facts
        assert facts.kappa >= 1
        if method == "exact" and not settings:
            assert facts.kappa == pytest.approx(KAPPA, rel=200 * digits(dtype, scale) + 1e-9)


def test_a_float32_operator_whose_projection_overflows(form):
    n = 400
    values = np.linspace(1.0, 2.0, n) * 1e37
    ritz = block_lanczos(
        lambda V: (values[:, None] * V).astype(np.float32), n, max_steps=20, dtype=np.float32
    )
    assert ritz.largest_magnitude == pytest.approx(2e37, rel=1e-2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int8, np.int64, np.float32, np.longdouble])
def test_sparsity_of_other_numbers(form, dtype):
    B = np.array([[4, 1, 0, 0], [1, 4, 0, 0], [0, 0, 3, 1], [0, 0, 1, 3]])
    np.testing.assert_array_equal(oracle_sparsity(form(B.astype(dtype))), [1, 1, 1, 1])
    np.testing.assert_array_equal(oracle_sparsity(form(B.astype(dtype)), 1.0), [2, 2, 2, 2])


def test_sparsity_of_truth_values(form):
    truths = form(np.array([[True, True, True], [False, False, False], [True, True, False]]))
    np.testing.assert_array_equal(oracle_sparsity(truths), [2, 0, 1])


def test_the_smallest_signed_number_has_a_magnitude(form):
    np.testing.assert_array_equal(oracle_sparsity(form(np.array([[-128, 1], [1, 1]], dtype=np.int8))), [1, 1])


def test_a_scale_that_leaves_no_digits_is_no_error(form):
    tiny = form(np.full((3, 3), 5e-324))
    assert condition_number(tiny) > 1e12 and math.isfinite(extreme_eigenvalues(tiny)[1])
