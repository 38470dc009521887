"""The block encoding: its factor from what is known of a matrix, and its qubits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk import SystemFacts, logical_qubits
from qnewton_sk.quantum.block_encoding import block_encoding_factor

FACTS = SystemFacts(n=500, kappa=80.0, row_nonzeros=20, norm=3.0, max_abs=0.6)


def test_alpha_is_measured_if_the_facts_allow_it():
    assert block_encoding_factor(FACTS) == pytest.approx(20 * 0.6 / 3.0)
    assert block_encoding_factor(SystemFacts(n=500, row_nonzeros=20)) == 20.0
    assert block_encoding_factor(SystemFacts(n=500, row_nonzeros=20, norm=3.0)) == 20.0
    assert block_encoding_factor(SystemFacts(n=500, row_nonzeros=1, norm=3.0, max_abs=0.1)) == 1.0


@given(st.integers(2, 12), st.integers(0, 10**6))
def test_alpha_of_a_real_matrix_lies_between_one_and_d(n, seed):
    A = np.random.default_rng(seed).standard_normal((n, n))
    A += A.T
    facts = SystemFacts(n=n, norm=np.linalg.norm(A, 2), max_abs=np.abs(A).max())
    assert 1 - 1e-12 <= block_encoding_factor(facts) <= n * (1 + 1e-12)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1.0, 1e200, 1e307])
def test_alpha_does_not_depend_on_the_scale_of_the_matrix(scale):
    scaled = SystemFacts(n=500, row_nonzeros=20, norm=3.0 * scale, max_abs=np.float64(0.6 * scale))
    assert block_encoding_factor(scaled) == pytest.approx(4.0)


@pytest.mark.parametrize("unusable", [math.inf, math.nan, 0.0])
def test_a_norm_that_is_not_finite_leaves_the_bound_d(unusable):
    assert block_encoding_factor(SystemFacts(n=500, row_nonzeros=20, norm=unusable, max_abs=1.0)) == 20.0
    assert block_encoding_factor(SystemFacts(n=500, row_nonzeros=20, norm=1.0, max_abs=unusable)) == 20.0


@given(st.integers(1, 10**12), st.integers(0, 40))
def test_logical_qubits_hold_the_unknowns(n, ancillas):
    qubits = logical_qubits(n, ancillas) - ancillas - 6
    assert 2**qubits >= n > 2 ** (qubits - 1)


def test_logical_qubits_reject_other_than_positive_ints():
    with pytest.raises(ValueError, match="`n` must be an int >= 1; got 0"):
        logical_qubits(0)
    with pytest.raises(ValueError, match="`ancillas` must be None or an int >= 0; got -1"):
        logical_qubits(4, -1)


@pytest.mark.parametrize("wrong", [0, -3, 1.5, math.inf, math.nan, "4", None])
def test_a_number_of_unknowns_that_is_not_a_positive_int_is_named(wrong):
    with pytest.raises(ValueError, match="`n` must be an int >= 1; got"):
        logical_qubits(wrong)


def test_logical_qubits_are_exact_for_integers_of_any_size():
    assert logical_qubits(2**53 + 1, 0) == 54 + 6
    assert logical_qubits(2**2000, 0) == logical_qubits(float(2**1000), 0) + 1000 == 2006
