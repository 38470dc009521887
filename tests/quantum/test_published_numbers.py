"""Numbers that have been published or transcribed, digit by digit."""

import math

import pytest

from qnewton_sk import HARDWARE, QuantumCost, SystemFacts, logical_qubits, query_count
from qnewton_sk.quantum.chebyshev import inverse_degree
from qnewton_sk.quantum.query_counts import jennings2023_single_run
from qnewton_sk.quantum.readout import READOUTS


@pytest.mark.parametrize(
    ("alpha", "kappa", "tol", "queries"),
    [
        (2.0, 50.0, 1e-3, 19825.720104922726),
        (1.0, 1000.0, 1e-6, 281028.0948442798),
        (5.0, 3.0, 0.1, 2119.5329893146436),
        (1.0, 2.0, 0.01, 844.775794241644),
    ],
)
def test_one_run_of_jennings2023(alpha, kappa, tol, queries):
    assert jennings2023_single_run(kappa, tol, alpha) == pytest.approx(queries, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "at_100", "at_10000"),
    [
        ("jennings2023", 7.43e4, 9.20e6),
        ("jennings2025", 8.66e4, 8.66e6),
        ("dalzell2024", 8.78e3, 8.52e5),
        ("costa2026", 6.34e3, 9.08e5),
        ("costa2023", 7.87e5, 7.87e7),
        ("costa2023_numerical", 3.71e3, 3.71e5),
    ],
)
def test_expected_queries_side_by_side(model, at_100, at_10000):
    # three digits are given: half a unit of the third
    assert query_count(1e2, 1e-12, model=model) == pytest.approx(at_100, rel=1e-3)
    assert query_count(1e4, 1e-12, model=model) == pytest.approx(at_10000, rel=1e-3)


def test_childs2017_by_hand():
    # s = ceil(100^2 log2(1e5)) = 166097, j0 = ceil(sqrt(s log2(4e3 s))) = 2207
    s = math.ceil(1e4 * math.log2(1e5))
    j0 = math.ceil(math.sqrt(s * math.log2(4e3 * s)))
    assert (s, j0) == (166097, 2207)
    # least success amplitude 1 / (2 * 2208): 3468 Grover iterations, two passes each, and one pass
    grover = math.floor(math.pi / 4 / math.asin(1 / (2 * (j0 + 1))))
    assert grover == 3468
    assert query_count(100.0, 1e-3, model="childs2017") == 8 * 2207 * (2 * 3468 + 1)


def test_hhl2009_is_the_asymptotic_scaling():
    assert query_count(100.0, 1e-3, alpha=2.0, model="hhl2009") == pytest.approx(2 * 100**2 / 1e-3)


@pytest.mark.parametrize(
    ("name", "gate_seconds"),
    [
        ("ibm_sherbrooke", 533.33e-9),
        ("ibm_brisbane", 660e-9),
        ("ibm_torino", 68e-9),
        ("ibm_fez", 84e-9),
        ("ibm_marrakesh", 68e-9),
        ("photonic", 1e-9),
        ("terahertz", 1e-12),
        ("attosecond", 1e-18),
        ("fault_tolerant", 1e-6),
    ],
)
def test_two_qubit_gate_times(name, gate_seconds):
    assert HARDWARE[name].gate_seconds == gate_seconds


def test_sherbrooke_keeps_its_kinds_of_time_apart():
    sherbrooke = HARDWARE["ibm_sherbrooke"]
    assert (sherbrooke.one_qubit_gate_seconds, sherbrooke.readout_seconds) == (56.89e-9, 1216e-9)
    assert sherbrooke.date == "2025-02-26"


FACTS = SystemFacts(n=10_000, kappa=100.0, row_nonzeros=10)
LU_SECONDS = 2 / 3 * 1e4**3 / 1e13
"""LU at 10 TFLOP/s."""


def test_break_even_gate_time_of_the_paper():
    assert QuantumCost().break_even_gate_time(FACTS, 1e-2, LU_SECONDS) == pytest.approx(1.3e-7, rel=0.04)


def test_break_even_gate_time_end_to_end():
    honest = QuantumCost(assumptions="end_to_end")
    # one digit is given, and what is charged for the right-hand side and the norm is not
    assert honest.break_even_gate_time(FACTS, 1e-2, LU_SECONDS) == pytest.approx(5e-21, rel=0.2)


def test_the_papers_cost_is_gate_time_times_queries():
    cost = QuantumCost(hardware="attosecond")
    assert cost(FACTS, 1e-12).seconds == pytest.approx(
        1e-18 * query_count(100.0, 1e-12, alpha=10.0), rel=1e-15
    )


def test_readout_copies():
    assert READOUTS["sampling"](100, 1e-2) == pytest.approx(1e6)
    assert READOUTS["proven"](100, 1e-2) == pytest.approx(2 * 36 * 100 * math.log(100) / 1e-4)
    assert READOUTS["coherent"](100, 1e-2) == pytest.approx(1e4)


def test_logical_qubits_of_the_papers_largest_system():
    assert logical_qubits(13002, ancillas=0) == 6 + 14


@pytest.mark.parametrize(
    ("kappa", "tol", "degree"), [(10, 1e-3, 157), (100, 1e-3, 1761), (100, 1e-8, 4053), (1000, 1e-3, 19363)]
)
def test_the_inverse_polynomial_stays_below_the_degrees_of_smoothed_inverses(kappa, tol, degree):
    """Those of a smoothed 1/x, twice what the optimal polynomial takes."""
    assert inverse_degree(kappa, tol) <= degree / 2
