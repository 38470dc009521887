"""The records of a run: their columns, and how blocks add up in them."""

import math
from dataclasses import FrozenInstanceError, astuple

import numpy as np
import pandas as pd
import pytest

from qnewton_sk import SystemFacts
from qnewton_sk.optimize.records import COLUMNS, StepRecord, history_table, solve_columns
from qnewton_sk.optimize.solve import BlockSolve, StepSolve
from qnewton_sk.scheduling.scheduler import Decision
from qnewton_sk.systems.cost_estimate import CostEstimate
from qnewton_sk.systems.solution import Solution, SolveStatus

# part of the interface: other programs read these
DESIGNED = (
    "step phase loss gradient_norm damping step_size accepted condition_number oracle_sparsity backend "
    "classical_cost quantum_cost break_even_gate_time gradient_seconds hessian_seconds schedule_seconds "
    "solve_seconds modelled_seconds relative_residual solve_status"
).split()


def test_columns_are_the_designed_ones_in_order():
    assert list(COLUMNS) == DESIGNED
    assert list(history_table([])) == DESIGNED


def test_the_table_has_one_row_a_record_and_makes_a_data_frame():
    records = [StepRecord(k, "newton", 1.0 / k, 0.1, 1e-3, 1.0, k == 1, backend="lu") for k in (1, 2, 3)]
    table = history_table(records)
    frame = pd.DataFrame(table)
    assert frame.shape == (3, len(COLUMNS))
    assert [tuple(row) for row in frame[["step", "loss", "accepted", "backend"]].itertuples(index=False)] == [
        (1, 1.0, True, "lu"),
        (2, 0.5, False, "lu"),
        (3, 1 / 3, False, "lu"),
    ]
    assert {name: table[name].dtype.kind for name in ("step", "loss", "accepted", "backend")} == {
        "step": "i",
        "loss": "f",
        "accepted": "b",
        "backend": "U",
    }


def test_an_empty_table_is_equally_long():
    assert all(
        isinstance(column, np.ndarray) and column.shape == (0,) for column in history_table([]).values()
    )


def test_records_are_frozen():
    record = StepRecord(1, "newton", 0.5, 0.1, 1e-3, 1.0, True)
    with pytest.raises(FrozenInstanceError):
        record.loss = 0.0
    assert astuple(record)[:3] == (1, "newton", 0.5)


def decided(chosen, seconds, quantum=None, break_even=None):
    estimates = {chosen: CostEstimate(seconds)} if chosen else {}
    return Decision(chosen, estimates, {}, break_even, seconds, quantum)


def solved(facts, decisions, solutions):
    blocks = [
        BlockSolve(f, d, s, schedule_seconds=0.25 / len(facts), solve_seconds=0.5 / len(facts))
        for f, d, s in zip(facts, decisions, solutions)
    ]
    return StepSolve(tuple(blocks), np.zeros(1))


def solution(residual):
    return Solution(np.zeros(1), SolveStatus.SUCCESS, residual)


def test_costs_of_blocks_add_and_the_worst_block_shows():
    columns = solve_columns(
        solved(
            [SystemFacts(n=9, kappa=10.0, row_nonzeros=4), SystemFacts(n=5, kappa=70.0, row_nonzeros=2)],
            [decided("lu", 1.0, 2.0, 3e-9), decided("cg", 4.0, 8.0, 1e-9)],
            [solution(1e-9), solution(1e-3)],
        )
    )
    assert columns == dict(
        condition_number=70.0,
        oracle_sparsity=4.0,
        backend="lu+cg",
        classical_cost=5.0,
        quantum_cost=10.0,
        break_even_gate_time=1e-9,
        schedule_seconds=0.25,
        solve_seconds=0.5,
        modelled_seconds=5.0,
        relative_residual=1e-3,
        solve_status="success",
    )


def test_modelled_seconds_leave_out_what_is_measured_as_assembly():
    decision = Decision("lu", {"lu": CostEstimate(6.0, assembly_seconds=5.0)}, classical_seconds=6.0)
    columns = solve_columns(solved([SystemFacts(n=2)], [decision], [solution(0.0)]))
    assert columns["modelled_seconds"] == 1.0 and columns["classical_cost"] == 6.0


def test_a_backend_shows_once():
    two = [decided("lu", 1.0)] * 2
    assert solve_columns(solved([SystemFacts(n=2)] * 2, two, [solution(0.0)] * 2))["backend"] == "lu"


def test_what_is_not_known_is_nan():
    columns = solve_columns(solved([SystemFacts(n=2)], [decided(None, None)], [None]))
    unknown = {name for name, value in columns.items() if isinstance(value, float) and math.isnan(value)}
    assert unknown == {
        "condition_number",
        "classical_cost",
        "quantum_cost",
        "break_even_gate_time",
        "modelled_seconds",
        "relative_residual",
    }
    assert (columns["backend"], columns["solve_status"]) == ("none", "failed")


def test_a_sum_with_an_unknown_part_is_unknown():
    columns = solve_columns(
        solved([SystemFacts(n=2)] * 2, [decided("lu", 1.0, 2.0), decided("lu", 1.0)], [solution(0.0)] * 2)
    )
    assert columns["classical_cost"] == 2.0 and math.isnan(columns["quantum_cost"])
