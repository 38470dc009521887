"""Records of a step: the table of them, and that no time is counted twice."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris

from qnewton_sk import QNewtonClassifier, Scheduler, SystemFacts
from qnewton_sk.costs import CostEstimate, DirectCost, WoodburyCost
from qnewton_sk.records import COLUMNS, StepRecord, history_table, solve_columns
from qnewton_sk.scheduler import Decision, classical_backends
from qnewton_sk.system import Solution, SolveStatus

FACTS = SystemFacts(n=300, kappa=10.0, assembly_flops=1e12, rank=20, factor_flops=1e12, shift=1.0)


def solved(*estimates):
    """What the loop knows after the solve of one block for each estimate, the chosen one."""
    count = len(estimates)
    decisions = [
        Decision("mine", estimates={"mine": e}, classical_seconds=e.seconds, quantum_seconds=2.0)
        for e in estimates
    ]
    return SimpleNamespace(
        facts=[FACTS] * count,
        decisions=decisions,
        solutions=[Solution(np.zeros(1), SolveStatus.SUCCESS, 0.5 / (i + 1)) for i in range(count)],
        status=SolveStatus.SUCCESS,
        schedule_seconds=0.25,
        solve_seconds=0.5,
    )


@pytest.mark.parametrize(
    "cost, term", [(DirectCost(), "assembly_seconds"), (WoodburyCost(), "factor_seconds")]
)
def test_the_modelled_solve_leaves_out_what_is_measured_as_curvature(cost, term):
    estimate = cost(FACTS, 1e-6)
    columns = solve_columns(solved(estimate))
    assert estimate.terms[term] > 0.9 * estimate.seconds
    assert columns["classical_cost"] == estimate.seconds
    assert columns["modelled_seconds"] == pytest.approx(estimate.seconds - estimate.terms[term], rel=1e-6)


def test_costs_of_blocks_add_and_the_worst_residual_shows():
    columns = solve_columns(solved(CostEstimate(1.0), CostEstimate(2.5)))
    assert (columns["modelled_seconds"], columns["quantum_cost"]) == (3.5, 4.0)
    assert (columns["relative_residual"], columns["backend"]) == (0.5, "mine")


def test_a_step_that_nobody_took_has_no_modelled_time():
    nobody = solved(CostEstimate(1.0))
    nobody.decisions = [Decision(None)]
    columns = solve_columns(nobody)
    assert columns["backend"] == "none" and math.isnan(columns["modelled_seconds"])


def test_in_a_fit_the_assembly_is_part_of_the_choice_alone():
    X, y = load_iris(return_X_y=True)
    lu = Scheduler(classical_backends()[:1])
    history = QNewtonClassifier((4,), curvature="hessian", scheduler=lu, random_state=0).fit(X, y).history_
    assembly = history["classical_cost"] - history["modelled_seconds"]
    assert assembly[0] > 0  # there was no matrix yet
    assert np.all(assembly >= 0)


def test_the_table_has_a_column_a_field_even_without_steps():
    assert list(history_table([])) == list(COLUMNS)
    record = StepRecord(1, "newton", 0.5, 0.1, 1e-3, 1.0, True)
    table = history_table([record, record])
    assert {len(column) for column in table.values()} == {2}
