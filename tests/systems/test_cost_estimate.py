"""The base class of cost models, and functions in its place."""

from functools import partial

import pytest

from qnewton_sk import (
    CostEstimate,
    CostModel,
    Solver,
    SystemFacts,
    solution_of,
)
from qnewton_sk.systems import FunctionCost, as_cost_model

FACTS = SystemFacts(n=2)


class Halves(Solver):
    def __init__(self, share=0.5):
        self.share = share

    def solve(self, system):
        return solution_of(system, self.share * system.rhs)


def test_a_cost_model_has_defaults():
    cost = CostModel()
    assert cost.rejection_reason(FACTS, 1e-6) is None and cost.break_even_gate_time(FACTS, 1e-6, 1.0) is None
    cost.check()


def seconds(facts, tol, rate=1.0):
    return CostEstimate(rate * facts.n)


@pytest.mark.parametrize(
    "function", [seconds, partial(seconds, rate=1.0), lambda facts, tol: seconds(facts, tol)]
)
def test_a_function_becomes_a_cost_model(function):
    cost = as_cost_model(function)
    assert isinstance(cost, FunctionCost) and cost(FACTS, 1e-6).seconds == 2.0
    assert as_cost_model(cost) is cost


@pytest.mark.parametrize("wrong", [None, 3.0, "cubic", Halves(), CostModel])
def test_what_is_no_cost_is_refused(wrong):
    with pytest.raises(ValueError, match="`cost` must be a function cost.* subclass of qnewton_sk.CostModel"):
        as_cost_model(wrong)


def test_what_a_subclass_leaves_out_is_named():
    with pytest.raises(NotImplementedError, match=r"CostModel must define __call__\(facts, tol\)"):
        CostModel()(FACTS, 1e-6)
