"""Backends: what their parts must be, and the message if they are not."""

import re
from pathlib import Path

import pytest
from own_backends import FACTS, MyCost, MySolver
from sklearn.base import BaseEstimator

from qnewton_sk import (
    Backend,
    CostEstimate,
    Scheduler,
    default_backends,
)
from qnewton_sk.solvers.dense import LU


class Conforming(BaseEstimator):
    """It has the methods of a solver and of a cost, but none of the base classes."""

    def rejection_reason(self, facts, tol=None):
        return None

    def solve(self, system):
        return None

    def __call__(self, facts, tol):
        return CostEstimate(1.0)


class Asks(MySolver):
    needs = "everything"


@pytest.mark.parametrize(
    "wrong, message",
    [
        (
            Backend("mine", Conforming(), MyCost()),
            "`solver` of the backend 'mine' .* subclass of qnewton_sk.Solver",
        ),
        (Backend("mine", LU, MyCost()), "`solver` of the backend 'mine' must be an instance of"),
        (Backend("mine", Asks(), MyCost()), "`solver` of the backend 'mine' must have `needs` among"),
        (
            Backend("mine", MySolver(), Conforming()),
            "`cost` of the backend 'mine' .* subclass of qnewton_sk.CostM",
        ),
        (Backend("mine", MySolver(), MyCost), "`cost` of the backend 'mine' must be a function cost"),
        (Backend("mine", MySolver(), 3.0), "`cost` of the backend 'mine' must be a function cost"),
        (Backend("mine", MySolver(), MyCost(), "mystic"), "`kind` of the backend 'mine' must be one of"),
        (Backend(None, MySolver(), MyCost()), "`name` of a Backend must be a non-empty str; got None"),
    ],
)
def test_a_backend_of_wrong_parts_is_refused_with_what_to_subclass(wrong, message):
    with pytest.raises(ValueError, match=message):
        Scheduler([wrong]).available_backends()


def test_a_cost_that_returns_something_else_is_named():
    offered = [Backend("mine", MySolver(), lambda facts, tol: 1.0)]
    with pytest.raises(
        ValueError, match="`cost` of the backend 'mine' must return a qnewton_sk.CostEstimate, .*; got 1.0"
    ):
        Scheduler(offered).choose(FACTS, 1e-3)


def test_a_cost_may_be_a_function():
    cost = lambda facts, tol: CostEstimate(facts.n * 1e-12)  # noqa: E731
    assert Scheduler([Backend("mine", MySolver(), cost)]).choose(FACTS, 1e-3).chosen == "mine"


def test_every_backend_is_explained_on_the_page_about_settings():
    page = (Path(__file__).parents[2] / "docs" / "how_to_choose.md").read_text(encoding="utf-8")
    cells = " ".join(re.findall(r"^\| ([^|]*) \|", page, flags=re.M))
    explained = set(re.findall(r"`(\w+)`", cells))
    assert {backend.name for backend in default_backends()} <= explained
