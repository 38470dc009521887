"""Statuses of a solve: each failure has a remedy."""

import pickle

import pytest

from qnewton_sk.systems.solution import SolveStatus


@pytest.mark.parametrize("status", SolveStatus)
def test_every_failure_names_a_remedy(status):
    assert (status.advice == "") == (status is SolveStatus.SUCCESS)
    assert str(status) == status.value == status
    assert pickle.loads(pickle.dumps(status)) is status


def test_only_directions_of_descent_are_usable():
    broken = {
        SolveStatus.SINGULAR,
        SolveStatus.NON_FINITE,
        SolveStatus.FAILED,
        SolveStatus.NOT_POSITIVE_DEFINITE,
    }
    assert {status for status in SolveStatus if not status.usable} == broken
