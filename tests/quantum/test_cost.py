"""Cost of a quantum solve: what is charged, break-even gate times, tables, and what is refused."""

import re
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from qnewton_sk import HARDWARE, QuantumCost, QuantumHardware, SystemFacts, logical_qubits, query_count
from qnewton_sk.quantum.assumptions import ASSUMPTIONS, refinement_rounds
from qnewton_sk.quantum.block_encoding import block_encoding_factor
from qnewton_sk.quantum.cost import quantum_cost_table
from qnewton_sk.quantum.readout import READOUTS, norm_estimation_runs
from qnewton_sk.systems.cost_estimate import CostEstimate

FACTS = SystemFacts(n=500, kappa=80.0, row_nonzeros=20, norm=3.0, max_abs=0.6)
facts_strategy = st.builds(
    SystemFacts,
    n=st.integers(40, 10**9),
    kappa=st.floats(1.0, 1e8),
    row_nonzeros=st.integers(1, 40),
)


def test_alpha_is_measured_where_the_facts_allow_it():
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


@given(facts_strategy, st.floats(1e-12, 0.2), st.sampled_from(sorted(HARDWARE)))
def test_the_paper_charges_one_gate_a_query_and_nothing_else(facts, tol, hardware):
    estimate = QuantumCost(hardware=hardware)(facts, tol)
    queries = query_count(facts.kappa, tol, alpha=float(facts.row_nonzeros))
    assert estimate.seconds == pytest.approx(HARDWARE[hardware].gate_seconds * queries, rel=1e-14)
    assert estimate.terms["gates_per_query"] == estimate.terms["readout_copies"] == 1.0
    assert estimate.terms["norm_estimation_runs"] == estimate.terms["measurement_seconds"] == 0.0


@given(facts_strategy, st.floats(1e-9, 0.2), st.sampled_from(sorted(HARDWARE)))
def test_the_terms_multiply_to_the_seconds(facts, tol, hardware):
    machine = HARDWARE[hardware]
    estimate = QuantumCost(hardware=hardware, assumptions="end_to_end")(facts, tol)
    t = estimate.terms
    runs = t["readout_copies"] + t["norm_estimation_runs"]
    solve = t["refinement_rounds"] * runs * t["expected_queries"] * t["gates_per_query"] * t["gate_seconds"]
    assert t["readout_copies"] == pytest.approx(facts.n / tol**2)
    assert t["loading_toffolis_per_query"] == 2 * (facts.n * facts.row_nonzeros - 2)
    assert estimate.seconds == pytest.approx(solve + t["readout_copies"] * machine.readout, rel=1e-12)
    assert estimate.seconds >= QuantumCost(hardware=hardware)(facts, tol).seconds


@given(facts_strategy, st.floats(1e-9, 0.2), st.sampled_from(["paper", "end_to_end"]), st.floats(1e-9, 1e9))
def test_at_the_break_even_gate_time_both_solvers_cost_the_same(facts, tol, assumptions, classical):
    cost = QuantumCost(hardware="ibm_sherbrooke", assumptions=assumptions)
    share = cost.break_even_gate_time(facts, tol, classical) / HARDWARE["ibm_sherbrooke"].gate_seconds
    times = ("gate_seconds", "one_qubit_gate_seconds", "readout_seconds")
    faster = {name: share * getattr(HARDWARE["ibm_sherbrooke"], name) for name in times}
    machine = QuantumHardware("faster", **faster)
    then = QuantumCost(hardware=machine, assumptions=assumptions)(facts, tol).seconds
    assert then == pytest.approx(classical, rel=1e-9)


@pytest.mark.parametrize("readout", sorted(READOUTS))
def test_each_readout_is_charged_by_its_formula(readout):
    terms = QuantumCost(assumptions={"readout": readout, "readout_tol": 1e-2})(FACTS, 1e-6).terms
    assert terms["readout_copies"] == READOUTS[readout](500, 1e-2)
    assert (terms["measurement_seconds"] > 0) == (readout != "none")


def test_readouts_are_ordered_as_their_theory():
    at = {name: copies(500, 1e-2) for name, copies in READOUTS.items()}
    order = ["none", "coherent", "sampling", "proven", "swap_test"]
    assert all(at[a] < at[b] for a, b in pairwise(order))


def test_switches_can_be_set_one_by_one():
    paper = QuantumCost()(FACTS, 1e-3)
    loaded = QuantumCost(assumptions={"loading": "qrom"})(FACTS, 1e-3)
    machine = HARDWARE["fault_tolerant"]
    assert loaded.seconds == pytest.approx(paper.seconds * (1 + 2 * (500 * 20 - 2) * machine.toffoli / 1e-6))
    dense = QuantumCost(assumptions={"loading": "qrom_dense"})(FACTS, 1e-3)
    assert dense.terms["loading_toffolis_per_query"] == 2 * (500**2 - 2)
    fixed = QuantumCost(assumptions={"alpha": 7.0})(FACTS, 1e-3)
    assert fixed.terms["expected_queries"] == query_count(80.0, 1e-3, alpha=7.0)
    normed = QuantumCost(assumptions={"norm": "amplitude_estimation"})(FACTS, 1e-3)
    assert normed.terms["norm_estimation_runs"] == norm_estimation_runs(0.39 - 0.204e-3, 1e-3)
    less = QuantumCost(assumptions={"base": "end_to_end", "loading": "none"})(FACTS, 1e-3)
    assert less.terms["loading_toffolis_per_query"] == 0 < less.terms["rhs_loading_toffolis_per_query"]


@given(st.integers(1, 3), st.sampled_from(["qrom", "qrom_dense"]))
def test_loading_a_tiny_matrix_costs_no_negative_gates(n, loading):
    tiny = SystemFacts(n=n, kappa=5.0, row_nonzeros=1)
    terms = QuantumCost(assumptions={"loading": loading})(tiny, 1e-2).terms
    assert terms["loading_toffolis_per_query"] >= 0 and terms["gates_per_query"] >= 1


def test_a_toffoli_is_made_of_both_kinds_of_gate():
    sherbrooke = HARDWARE["ibm_sherbrooke"]
    assert sherbrooke.toffoli == pytest.approx(6 * 533.33e-9 + 9 * 56.89e-9)
    assert QuantumHardware("even", gate_seconds=1e-9).toffoli == pytest.approx(15e-9)


def test_refinement_makes_high_precision_readable():
    direct = QuantumCost(assumptions="end_to_end")(FACTS, 1e-12)
    refined = QuantumCost(assumptions={"base": "end_to_end", "refinement_tol": 1e-2})(FACTS, 1e-12)
    assert refined.terms["refinement_rounds"] == 6
    assert refined.terms["readout_copies"] == pytest.approx(500 / 1e-4)
    assert refined.seconds < 1e-15 * direct.seconds
    # a solve that is loose anyway is not refined
    assert QuantumCost(assumptions={"refinement_tol": 1e-2})(FACTS, 0.1).terms["solve_tol"] == 0.1


@given(st.floats(1e-14, 0.5), st.floats(1e-6, 0.5))
def test_rounds_reach_the_tolerance_and_no_round_is_spare(tol, solve_tol):
    rounds = refinement_rounds(tol, solve_tol)
    assert solve_tol**rounds <= tol * (1 + 1e-6)
    assert rounds == 1 or solve_tol ** (rounds - 1) > tol * (1 - 1e-6)


@pytest.mark.parametrize(
    ("facts", "tol", "reason"),
    [
        (SystemFacts(n=10), 1e-3, "condition number is not known"),
        (SystemFacts(n=10, kappa=np.inf), 1e-3, "must be finite"),
        (FACTS, 0.0, r"`tol` must be in \(0, 1\)"),
        (FACTS, 1.0, r"`tol` must be in \(0, 1\)"),
    ],
)
def test_what_cannot_be_priced_is_refused_with_the_reason(facts, tol, reason):
    cost = QuantumCost()
    with pytest.raises(ValueError, match=reason):
        cost(facts, tol)
    assert cost.rejection_reason(facts, tol) in str(pytest.raises(ValueError, cost, facts, tol).value)
    assert cost.rejection_reason(FACTS, 1e-3) is None


def test_a_loose_error_is_priced_as_the_loosest_that_the_model_allows():
    cost = QuantumCost()
    assert cost.rejection_reason(FACTS, 0.3) is None
    assert cost(FACTS, 0.3).seconds == cost(FACTS, 0.24).seconds
    assert cost(FACTS, 0.3).terms["solve_tol"] == 0.24
    assert QuantumCost("dalzell2024")(FACTS, 0.3).terms["solve_tol"] == 0.3


def test_a_model_out_of_its_range_is_refused():
    far = SystemFacts(n=10, kappa=1e6, row_nonzeros=10)
    assert "use another model" in QuantumCost(queries="costa2026").rejection_reason(far, 1e-3)
    assert QuantumCost(queries="dalzell2024").rejection_reason(far, 1e-3) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hardware": "abacus"}, r"`hardware` must be .*'attosecond'.*got 'abacus'"),
        ({"queries": "abacus"}, r"`model` must be one of .*got 'abacus'"),
        ({"assumptions": "optimistic"}, r"`assumptions` must be a dict or one of .*got 'optimistic'"),
        ({"assumptions": {"base": "optimistic"}}, "`assumptions` must be"),
        ({"assumptions": {"colour": "red"}}, r"keys among .*got \['colour'\]"),
        ({"assumptions": {"readout": "crystal"}}, r"\['readout'\]` must be one of .*got 'crystal'"),
        ({"assumptions": {"readout_tol": 2.0}}, r"\['readout_tol'\]` must be None or in"),
        ({"assumptions": {"alpha": 0.5}}, r"\['alpha'\]` must be 'sparse' or a number"),
        ({"assumptions": {"alpha": "dense"}}, r"\['alpha'\]` must be 'sparse' or a number"),
        ({"assumptions": 3}, "`assumptions` must be a dict"),
        ({"hardware": 3}, "`hardware` must be a QuantumHardware"),
        ({"hardware": QuantumHardware("bad", gate_seconds=0.0)}, "`gate_seconds` must be a positive"),
        ({"hardware": QuantumHardware("bad", readout_seconds=-1.0)}, "`readout_seconds` must be a positive"),
    ],
)
def test_unknown_settings_are_answered_with_what_exists(settings, message):
    with pytest.raises(ValueError, match=message):
        QuantumCost(**settings)(FACTS, 1e-3)


def test_parts_can_be_searched_and_cloned():
    cost = QuantumCost(hardware=QuantumHardware("mine", gate_seconds=1e-9))
    fast = clone(cost).set_params(hardware__gate_seconds=1e-12, assumptions="end_to_end")
    assert cost.hardware.gate_seconds == 1e-9
    assert fast(FACTS, 1e-3).terms["gate_seconds"] == 1e-12


def test_the_source_names_model_machine_and_assumptions():
    source = QuantumCost(hardware="photonic", assumptions="end_to_end")(FACTS, 1e-3).source
    assert "arXiv:2305.11352v1" in source and "photonic" in source and "end_to_end" in source


def test_assumption_sets_name_the_same_switches():
    assert set(ASSUMPTIONS["paper"]) == set(ASSUMPTIONS["end_to_end"])


def test_the_table_covers_the_grid_far_past_any_matrix():
    table = quantum_cost_table(
        QuantumCost(assumptions="end_to_end"),
        n=[10**3, 10**6, 10**9],
        kappa=[10.0, 1e4],
        row_nonzeros=[10, 10**4],
        tol=[1e-2, 1e-6],
        gate_seconds=[1e-6, 1e-18],
        classical_cost=lambda facts, tol: CostEstimate(1e-13 * facts.n**3),
    )
    frame = pd.DataFrame(table)
    assert len(frame) == 3 * 2 * 2 * 2 * 2
    assert (frame["rejection_reason"] == "").all() and np.isfinite(frame["quantum_seconds"]).all()
    assert (frame["row_nonzeros"] <= frame["n"]).all()
    fast, slow = frame[frame.gate_seconds == 1e-18], frame[frame.gate_seconds == 1e-6]
    np.testing.assert_allclose(fast["quantum_seconds"], 1e-12 * slow["quantum_seconds"].to_numpy())
    np.testing.assert_allclose(
        frame["break_even_gate_seconds"] / frame["gate_seconds"],
        frame["classical_seconds"] / frame["quantum_seconds"],
    )


def test_the_table_agrees_with_the_cost_and_marks_what_is_refused():
    cost = QuantumCost(queries="costa2026", assumptions={"alpha": 1.0})
    table = quantum_cost_table(cost, n=100, kappa=[50.0, 1e7], tol=1e-3)
    assert table["quantum_seconds"][0] == cost(SystemFacts(n=100, kappa=50.0), 1e-3).seconds
    assert np.isnan(table["quantum_seconds"][1]) and "at most" in table["rejection_reason"][1]
    with pytest.raises(ValueError, match="at least one value"):
        quantum_cost_table(cost, n=[], kappa=1.0)


@given(st.integers(1, 10**12), st.integers(0, 40))
def test_logical_qubits_hold_the_unknowns(n, ancillas):
    qubits = logical_qubits(n, ancillas) - ancillas - 6
    assert 2**qubits >= n > 2 ** (qubits - 1)


def test_logical_qubits_refuse_nonsense():
    with pytest.raises(ValueError, match="`n` must be >= 1; got 0"):
        logical_qubits(0)
    with pytest.raises(ValueError, match="`ancillas` must be None or >= 0; got -1"):
        logical_qubits(4, -1)


def test_pricing_a_step_takes_microseconds():
    cost = QuantumCost()
    cost(FACTS, 1e-3)
    best = min(_seconds(cost) for _ in range(20))
    assert best < 2e-4  # 6 us on a quiet core


def _seconds(cost):
    start = time.perf_counter()
    cost(FACTS, 1e-3)
    return time.perf_counter() - start


def test_the_machines_in_the_documentation_are_the_presets():
    text = (Path(__file__).parents[2] / "docs" / "quantum.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| [^|]*\|$", text, re.MULTILINE)
    presets = {name: machine.gate_seconds for name, machine in HARDWARE.items()}
    assert {name: float(seconds) for name, seconds in rows} == presets
