"""Cost of a quantum solve: what is charged, break-even gate times, tables, and what is rejected."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from qnewton_sk import (
    HARDWARE,
    QuantumAssumptions,
    QuantumCost,
    QuantumHardware,
    Scheduler,
    SystemFacts,
    query_count,
)
from qnewton_sk.quantum.cost import quantum_cost_table
from qnewton_sk.quantum.query_counts import QUERY_MODELS, jennings2023_single_run
from qnewton_sk.quantum.readout import READOUTS
from qnewton_sk.systems.cost_estimate import CostEstimate

FACTS = SystemFacts(n=500, kappa=80.0, row_nonzeros=20, norm=3.0, max_abs=0.6)
facts_strategy = st.builds(
    SystemFacts,
    n=st.integers(40, 10**9),
    kappa=st.floats(1.0, 1e8),
    row_nonzeros=st.integers(1, 40),
)


@given(facts_strategy, st.floats(1e-12, 0.2), st.sampled_from(sorted(HARDWARE)))
def test_the_paper_charges_one_gate_per_query_and_nothing_else(facts, tol, hardware):
    estimate = QuantumCost(hardware=hardware)(facts, tol)
    queries = query_count(facts.kappa, tol, alpha=float(facts.row_nonzeros))
    assert estimate.seconds == pytest.approx(HARDWARE[hardware].gate_seconds * queries, rel=1e-14)
    assert estimate.terms["gates_per_query"] == estimate.terms["readout_copies"] == 1.0
    assert estimate.terms["norm_estimation_runs"] == estimate.terms["measurement_seconds"] == 0.0


@given(facts_strategy, st.floats(1e-9, 0.2), st.sampled_from(["paper", "end_to_end"]), st.floats(1e-9, 1e9))
def test_at_the_break_even_gate_time_both_solvers_cost_the_same(facts, tol, assumptions, classical):
    cost = QuantumCost(hardware="ibm_sherbrooke", assumptions=assumptions)
    share = cost.break_even_gate_time(facts, tol, classical) / HARDWARE["ibm_sherbrooke"].gate_seconds
    times = ("gate_seconds", "one_qubit_gate_seconds", "readout_seconds")
    faster = {name: share * getattr(HARDWARE["ibm_sherbrooke"], name) for name in times}
    machine = QuantumHardware("faster", **faster)
    then = QuantumCost(hardware=machine, assumptions=assumptions)(facts, tol).seconds
    assert then == pytest.approx(classical, rel=1e-9)


# -- each charge by hand, beside the paper's -----------------------------------------------------------------

# FACTS: n = 500, d = 20, kappa = 80, alpha = d max|A_ij| / ||A|| = 4; solves to 1e-3 on a fault-tolerant machine,
# on which a gate, a Toffoli gate and a readout take 1e-6 s each.
TOL = 1e-3
QUERIES = jennings2023_single_run(80.0, TOL, 4.0) / (0.39 - 0.204 * TOL)


def seconds(**charges):
    return QuantumCost(assumptions=QuantumAssumptions(**charges))(FACTS, TOL).seconds


def test_the_paper_charges_gate_time_times_queries():
    assert seconds() == pytest.approx(1e-6 * QUERIES, rel=1e-12)


def test_loading_the_nonzeros_charges_two_toffolis_each_in_every_query():
    assert seconds(loading="qrom") == pytest.approx(QUERIES * (1e-6 + 2 * (500 * 20 - 2) * 1e-6), rel=1e-12)


def test_loading_the_dense_matrix_charges_two_toffolis_per_entry_in_every_query():
    expected = QUERIES * (1e-6 + 2 * (500**2 - 2) * 1e-6)
    assert seconds(loading="qrom_dense") == pytest.approx(expected, rel=1e-12)


def test_loading_the_right_hand_side_charges_four_toffolis_per_entry_in_every_query():
    assert seconds(rhs_loading="qrom") == pytest.approx(QUERIES * (1e-6 + 4 * 500 * 1e-6), rel=1e-12)


@pytest.mark.parametrize(
    ("readout", "copies"),
    [
        ("sampling", 500 / TOL**2),
        ("proven", 2 * 36 * 500 * math.log(500) / TOL**2),
        ("coherent", 500 / TOL),
        ("swap_test", 500 * (math.sqrt(500) / TOL) ** 2),
    ],
)
def test_readout_charges_a_solve_and_a_measurement_per_copy(readout, copies):
    assert seconds(readout=readout) == pytest.approx(copies * (QUERIES * 1e-6 + 1e-6), rel=1e-12)


def test_the_error_of_the_readout_can_differ_from_that_of_the_solve():
    expected = 500 / 0.1**2 * (QUERIES * 1e-6 + 1e-6)
    assert seconds(readout="sampling", readout_tol=0.1) == pytest.approx(expected, rel=1e-12)


def test_norm_estimation_charges_single_runs_and_no_repetition_until_success():
    """Nine estimates, each of M evaluations of two runs and one run to start with."""
    a = 0.39 - 0.204 * TOL
    for M in range(1, 10**5):  # the smallest M within the bound of Brassard et al., by search
        if 2 * math.pi * math.sqrt(a * (1 - a)) / M + (math.pi / M) ** 2 <= 2 * a * TOL:
            break
    single_run_seconds = jennings2023_single_run(80.0, TOL, 4.0) * 1e-6
    expected = QUERIES * 1e-6 + 9 * (2 * M + 1) * single_run_seconds
    assert seconds(norm="amplitude_estimation") == pytest.approx(expected, rel=1e-12)


def test_a_number_in_place_of_the_sparse_factor_is_charged():
    assert seconds(alpha=7.0) == pytest.approx(1e-6 * query_count(80.0, TOL, alpha=7.0), rel=1e-12)


def test_refinement_charges_whole_solves_of_the_looser_error():
    refined = QuantumCost(assumptions=QuantumAssumptions(readout="sampling", refinement_tol=1e-2))(
        FACTS, 1e-12
    )
    loose = query_count(80.0, 1e-2, alpha=4.0)
    assert refined.seconds == pytest.approx(6 * 500 / 1e-4 * (loose * 1e-6 + 1e-6), rel=1e-12)


def test_refinement_makes_high_precision_readable():
    direct = QuantumCost(assumptions="end_to_end")(FACTS, 1e-12)
    refined = QuantumCost(assumptions={"base": "end_to_end", "refinement_tol": 1e-2})(FACTS, 1e-12)
    assert refined.seconds < 1e-15 * direct.seconds
    # a solve that is loose anyway is not refined
    assert QuantumCost(assumptions={"refinement_tol": 1e-2}).resources(FACTS, 0.1).solve_tol == 0.1


@given(facts_strategy, st.floats(1e-9, 0.2), st.sampled_from(sorted(HARDWARE)))
def test_the_charges_multiply_and_add_to_the_seconds(facts, tol, hardware):
    machine, cost = HARDWARE[hardware], QuantumCost(hardware=hardware, assumptions="end_to_end")
    t, estimate = cost.resources(facts, tol), cost(facts, tol)
    toffolis = 2 * (facts.n * facts.row_nonzeros - 2) + 4 * facts.n
    query_seconds = machine.gate_seconds + toffolis * machine.effective_toffoli_seconds
    copies = facts.n / tol**2 + t.norm_estimation_runs * (0.39 - 0.204 * tol)
    queries = query_count(facts.kappa, tol, alpha=float(facts.row_nonzeros))
    readout = facts.n / tol**2 * machine.effective_readout_seconds
    assert estimate.seconds == pytest.approx(copies * queries * query_seconds + readout, rel=1e-12)
    assert estimate.terms["seconds"] == estimate.seconds >= QuantumCost(hardware=hardware)(facts, tol).seconds
    assert estimate.terms["total_queries"] == t.total_queries


# -- numbers of any size -------------------------------------------------------------------------------------


@given(
    st.floats(1.0, 1e308) | st.floats(0, 308).map(lambda exponent: min(10.0**exponent, 1e308)),
    st.floats(0.5, 300).map(lambda exponent: 10.0**-exponent),
    st.sampled_from(sorted(QUERY_MODELS)),
    st.sampled_from(["paper", "end_to_end"]),
    st.sampled_from(sorted(READOUTS)),
    st.sampled_from([None, 1e-2]),
)
def test_a_solve_of_any_condition_and_error_is_priced_or_rejected(
    kappa, tol, queries, base, readout, refinement
):
    assumptions = {"base": base, "readout": readout, "refinement_tol": refinement}
    cost = QuantumCost(queries, "attosecond", assumptions)
    facts = SystemFacts(n=10**6, kappa=np.float64(kappa), row_nonzeros=10)
    reason = cost.rejection_reason(facts, tol)
    if reason is None:
        estimate = cost(facts, tol)
        assert estimate.seconds > 0  # and no nan
        assert not any(math.isnan(value) for value in estimate.terms.values())
        assert 0 <= cost.break_even_gate_time(facts, tol, 1.0) < math.inf
    else:
        assert "must be at most" in reason


def test_an_infinite_condition_number_is_rejected_with_a_remedy():
    decision = Scheduler(hardware="attosecond").choose(SystemFacts(n=10, kappa=math.inf), 1e-3)
    assert decision.chosen != "qlsa" and decision.quantum_seconds is None
    assert "finite" in decision.rejections["qlsa"] and "`regularization`" in decision.rejections["qlsa"]


@pytest.mark.parametrize("returned", [math.nan, -1.0, None, "many"])
def test_a_query_model_that_does_not_return_a_count_is_named(returned):
    def broken(kappa, tol, alpha):
        return returned

    with pytest.raises(
        ValueError,
        match=r"`queries` must be a model that returns a number >= 0; got .* from 'broken' at kappa=80",
    ):
        QuantumCost(broken)(FACTS, 1e-3)


def test_a_query_model_that_overflows_counts_as_infinite():
    assert (
        QuantumCost(lambda kappa, tol, alpha: kappa**2)(SystemFacts(n=10, kappa=1e200), 1e-3).seconds
        == math.inf
    )


@pytest.mark.parametrize("readout", sorted(READOUTS))
def test_each_readout_is_charged_by_its_formula(readout):
    terms = QuantumCost(assumptions={"readout": readout, "readout_tol": 1e-2})(FACTS, 1e-6).terms
    assert terms["readout_copies"] == READOUTS[readout](500, 1e-2)
    assert (terms["measurement_seconds"] > 0) == (readout != "none")


def test_readouts_are_ordered_as_their_theory():
    at = {name: copies(500, 1e-2) for name, copies in READOUTS.items()}
    order = ["none", "coherent", "sampling", "proven", "swap_test"]
    assert all(at[a] < at[b] for a, b in pairwise(order))


@given(st.integers(1, 3), st.sampled_from(["qrom", "qrom_dense"]))
def test_loading_a_tiny_matrix_costs_no_negative_gates(n, loading):
    tiny = SystemFacts(n=n, kappa=5.0, row_nonzeros=1)
    terms = QuantumCost(assumptions={"loading": loading})(tiny, 1e-2).terms
    assert terms["loading_toffolis_per_query"] >= 0 and terms["gates_per_query"] >= 1


@pytest.mark.parametrize(
    ("facts", "tol", "reason"),
    [
        (SystemFacts(n=10), 1e-3, "condition number is not known"),
        (SystemFacts(n=10, kappa=np.inf), 1e-3, "must be finite"),
        (FACTS, 0.0, r"`tol` must be in \(0, 1\)"),
        (FACTS, 1.0, r"`tol` must be in \(0, 1\)"),
    ],
)
def test_what_cannot_be_priced_is_rejected_with_the_reason(facts, tol, reason):
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


def test_a_model_out_of_its_range_is_rejected():
    far = SystemFacts(n=10, kappa=1e6, row_nonzeros=10)
    assert "use another model" in QuantumCost(queries="costa2026").rejection_reason(far, 1e-3)
    assert QuantumCost(queries="dalzell2024").rejection_reason(far, 1e-3) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hardware": "abacus"}, r"`hardware` must be .*'attosecond'.*got 'abacus'"),
        ({"queries": "abacus"}, r"`queries` must be one of .*got 'abacus'"),
        ({"queries": ["jennings2023"]}, r"`queries` must be one of"),
        ({"assumptions": "optimistic"}, r"`assumptions` must be a QuantumAssumptions, .*got 'optimistic'"),
        ({"assumptions": 3}, "`assumptions` must be a QuantumAssumptions"),
        ({"hardware": 3}, "`hardware` must be a QuantumHardware"),
        ({"hardware": QuantumHardware("bad", gate_seconds=0.0)}, "`gate_seconds` must be a positive"),
        ({"hardware": QuantumHardware("bad", readout_seconds=-1.0)}, "`readout_seconds` must be a positive"),
    ],
)
def test_unknown_settings_raise_an_error_that_lists_the_known_ones(settings, message):
    for work in (
        QuantumCost(**settings).check,
        lambda: QuantumCost(**settings)(FACTS, 1e-3),
        Scheduler(**settings).available_backends,
    ):
        with pytest.raises(ValueError, match=message):
            work()


def test_parts_can_be_searched_and_cloned():
    cost = QuantumCost(hardware=QuantumHardware("mine", gate_seconds=1e-9))
    fast = clone(cost).set_params(hardware__gate_seconds=1e-12, assumptions="end_to_end")
    assert cost.hardware.gate_seconds == 1e-9
    assert fast(FACTS, 1e-3).terms["gate_seconds"] == 1e-12


def test_the_source_names_model_machine_and_assumptions():
    source = QuantumCost(hardware="photonic", assumptions="end_to_end")(FACTS, 1e-3).source
    assert "arXiv:2305.11352v1" in source and "photonic" in source and "end_to_end" in source
    assert "custom assumptions" in QuantumCost(assumptions={"loading": "qrom"})(FACTS, 1e-3).source


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


def test_the_table_agrees_with_the_cost_and_marks_what_is_rejected():
    cost = QuantumCost(queries="costa2026", assumptions={"alpha": 1.0})
    table = quantum_cost_table(cost, n=100, kappa=[50.0, 1e7], tol=1e-3)
    assert table["quantum_seconds"][0] == cost(SystemFacts(n=100, kappa=50.0), 1e-3).seconds
    assert np.isnan(table["quantum_seconds"][1]) and "at most" in table["rejection_reason"][1]
    with pytest.raises(ValueError, match="at least one value"):
        quantum_cost_table(cost, n=[], kappa=1.0)
