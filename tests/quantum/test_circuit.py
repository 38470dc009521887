"""The circuit: gate by gate against the polynomial, against the exact solution, and where it is rejected."""

import importlib.util

import numpy as np
import pytest
from systems_to_solve import error, random_system, system_of

from qnewton_sk import SystemFacts
from qnewton_sk.quantum import circuit
from qnewton_sk.quantum.chebyshev import inverse_polynomial
from qnewton_sk.quantum.qlsa import QLSA
from qnewton_sk.systems.linear_system import LinearSystem
from qnewton_sk.systems.solution import SolveStatus

needs_extra = pytest.mark.skipif(
    circuit.missing_extra() is not None, reason="the extra 'quantum' is not installed"
)


@needs_extra
@pytest.mark.parametrize("definite", [True, False])
@pytest.mark.parametrize("kappa", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("n", [4, 7, 16, 32])
def test_circuit_and_polynomial_agree(n, kappa, definite):
    system = random_system(n, kappa, seed=n, tol=1e-3, definite=definite, scale=2.5)
    by_circuit, by_products = QLSA("circuit").solve(system), QLSA("polynomial").solve(system)
    scale = np.linalg.norm(by_products.x)
    np.testing.assert_allclose(by_circuit.x, by_products.x, rtol=0, atol=1e-8 * scale)
    assert by_circuit.status is SolveStatus.SUCCESS
    assert error(by_circuit, system) <= 1e-3
    for name in ("queries", "success_probability"):
        assert by_circuit.info[name] == pytest.approx(by_products.info[name], rel=1e-8)
    assert by_circuit.info["degree"] == by_products.info["degree"]
    # the registers of the circuit itself: the unknowns, the block encoding, the real part
    assert by_circuit.info["qubits"] == by_products.info["qubits"] == int(np.ceil(np.log2(n))) + 2


@needs_extra
@pytest.mark.parametrize("tol", [1e-2, 1e-6, 1e-9])
def test_the_circuit_meets_the_requested_error(tol):
    system = random_system(8, 20.0, seed=2, tol=tol)
    assert error(QLSA("circuit").solve(system), system) <= tol


@needs_extra
@pytest.mark.parametrize("n", [1, 2, 64])
def test_the_smallest_and_the_largest_circuit(n):
    system = random_system(n, 5.0, seed=1)
    assert error(QLSA("circuit").solve(system), system) <= 1e-3


@needs_extra
def test_a_circuit_is_read_out_and_refined_like_every_other():
    system = random_system(8, 20.0, seed=3, tol=1e-2)
    solution = QLSA("circuit", readout_error=1e-2, refinements=8, random_state=0).solve(system)
    assert solution.info["rounds"] == 9 and solution.info["copies"] == pytest.approx(9 * 8 / 1e-4)
    assert error(solution, system) < 1e-10


@needs_extra
@pytest.mark.parametrize(("kappa", "tol"), [(2.0, 0.3), (30.0, 1e-4)])
def test_phase_factors_give_the_polynomial(kappa, tol):
    """By 2 x 2 matrices, without any simulator: the real part of the corner of the product."""
    phases, P = circuit.phase_factors(kappa, tol), inverse_polynomial(kappa, tol)
    for x in (-1.0, -0.31, 0.0, 0.02, 0.7):
        s = np.sqrt(1 - x * x)
        product = np.diag(np.exp(1j * phases[0] * np.array([1, -1])))
        for phase in phases[1:]:
            product = product @ np.array([[x, s], [s, -x]]) @ np.diag(np.exp(1j * phase * np.array([1, -1])))
        assert product[0, 0].real == pytest.approx(P(x), abs=1e-10)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_the_block_encoding_is_unitary_and_holds_the_matrix(n):
    A = random_system(n, 10.0, seed=0).matrix.dense()
    U = circuit.block_encoding(A)
    np.testing.assert_allclose(U @ U.T, np.eye(2 * n), atol=1e-12)
    np.testing.assert_array_equal(U[:n, :n], A)


@needs_extra
def test_a_singular_matrix_is_a_status():
    system = LinearSystem(
        system_of(np.diag([1.0, 0.0]), np.ones(2)).matrix, np.ones(2), 1e-3, SystemFacts(2, 5.0)
    )
    assert QLSA("circuit").solve(system).status is SolveStatus.SINGULAR


@needs_extra
def test_a_circuit_too_large_is_rejected_and_does_not_crash():
    facts = SystemFacts(n=65, kappa=2.0)
    assert "up to 64 unknowns, got 65" in QLSA("circuit").rejection_reason(facts)
    solution = QLSA("circuit").solve(random_system(65, 2.0, seed=0))
    assert solution.status is SolveStatus.FAILED and "up to 64 unknowns" in solution.info["reason"]
    assert "degree" in QLSA("circuit").rejection_reason(SystemFacts(n=4, kappa=1e5))


def test_without_the_extra_the_pip_line_is_given(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(circuit, "find_spec", lambda name: None if name == "nlft_qsp" else found(name))
    assert 'pip install "qnewton_sk[quantum]"' in QLSA("circuit").rejection_reason(
        SystemFacts(n=4, kappa=2.0)
    )
    with pytest.raises(ImportError, match=r'nlft_qsp not installed: pip install "qnewton_sk\[quantum\]"'):
        QLSA("circuit").solve(random_system(4, 2.0, seed=0))
    assert QLSA("polynomial").solve(random_system(4, 2.0, seed=0)).status is SolveStatus.SUCCESS
