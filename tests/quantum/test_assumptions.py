"""Assumptions: the presets, their ways to be given, the way a grid search reaches them, and settings that are named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from qnewton_sk import QNewtonClassifier, QuantumAssumptions, QuantumCost, Scheduler, SystemFacts
from qnewton_sk.quantum.assumptions import ASSUMPTIONS, refinement_rounds, resolve_assumptions

FACTS = SystemFacts(n=500, kappa=80.0, row_nonzeros=20, norm=3.0, max_abs=0.6)
END_TO_END = {"loading": "qrom", "rhs_loading": "qrom", "readout": "sampling", "norm": "amplitude_estimation"}


def test_the_paper_charges_only_queries_and_is_the_default():
    assert ASSUMPTIONS["paper"].get_params() == QuantumAssumptions().get_params()
    assert QuantumAssumptions().get_params() == {
        "alpha": "sparse",
        "loading": "none",
        "rhs_loading": "none",
        "readout": "none",
        "readout_tol": None,
        "norm": "none",
        "refinement_tol": None,
    }


def test_end_to_end_charges_loading_readout_and_norm():
    assert ASSUMPTIONS["end_to_end"].get_params() == QuantumAssumptions(**END_TO_END).get_params()


@pytest.mark.parametrize(
    "same",
    [
        "end_to_end",
        ASSUMPTIONS["end_to_end"],
        QuantumAssumptions(**END_TO_END),
        {"base": "end_to_end"},
        END_TO_END,
    ],
)
def test_name_part_and_dict_mean_the_same(same):
    assert resolve_assumptions(same).get_params() == QuantumAssumptions(**END_TO_END).get_params()
    assert (
        QuantumCost(assumptions=same)(FACTS, 1e-3).terms
        == QuantumCost(assumptions="end_to_end")(FACTS, 1e-3).terms
    )


def test_a_dict_replaces_settings_of_its_base_and_stays_as_it_is():
    settings = {"base": "end_to_end", "readout": "coherent"}
    assert resolve_assumptions(settings).get_params() == {
        **ASSUMPTIONS["end_to_end"].get_params(),
        "readout": "coherent",
    }
    assert settings == {"base": "end_to_end", "readout": "coherent"}


def test_changing_a_looked_up_preset_does_not_change_the_preset():
    ASSUMPTIONS["paper"].set_params(readout="proven")
    resolve_assumptions("paper").loading = "qrom"
    resolve_assumptions({"alpha": 3.0})
    assert resolve_assumptions("paper").get_params() == QuantumAssumptions().get_params()


def test_settings_are_reached_through_cost_and_scheduler():
    cost = QuantumCost(assumptions=QuantumAssumptions()).set_params(assumptions__alpha=7.0)
    assert cost(FACTS, 1e-3).terms["alpha"] == 7.0
    scheduler = Scheduler(hardware="photonic", assumptions=QuantumAssumptions())
    assert scheduler.get_params()["assumptions__loading"] == "none"
    dearer = clone(scheduler).set_params(assumptions__loading="qrom", assumptions__readout="sampling")
    assert scheduler.assumptions.loading == "none"
    for asked, copies in ((scheduler, 1.0), (dearer, 500 / 1e-6)):
        assert asked.choose(FACTS, 1e-3).estimates["qlsa"].terms["readout_copies"] == pytest.approx(copies)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_grid_search_reaches_into_the_assumptions():
    X, y = load_iris(return_X_y=True)
    scheduler = Scheduler(hardware="attosecond", assumptions=QuantumAssumptions())
    net = QNewtonClassifier(
        (3,), curvature="hessian", max_iter=2, scheduler=scheduler, random_state=0, tol=1.0
    )
    grid = {"scheduler__assumptions__readout": ["none", "swap_test"]}
    search = GridSearchCV(net, grid, cv=2).fit(X / 8, y)
    costs = {}
    for readout in grid["scheduler__assumptions__readout"]:
        changed = clone(net).set_params(scheduler__assumptions__readout=readout).fit(X / 8, y)
        costs[readout] = changed.history_["quantum_cost"]
    assert len(search.cv_results_["params"]) == 2 and scheduler.assumptions.readout == "none"
    assert np.nanmin(costs["swap_test"] / costs["none"]) > 1e4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"loading": "qram"},
            r"`assumptions.loading` must be one of \['none', 'qrom', 'qrom_dense'\]; got 'qram'",
        ),
        ({"rhs_loading": None}, r"`assumptions.rhs_loading` must be one of .*; got None"),
        ({"readout": "crystal"}, r"`assumptions.readout` must be one of .*'sampling'.*; got 'crystal'"),
        ({"readout": ["none"]}, r"`assumptions.readout` must be one of"),
        (
            {"norm": "guess"},
            r"`assumptions.norm` must be one of \['amplitude_estimation', 'none'\]; got 'guess'",
        ),
        *(
            ({name: wrong}, rf"`assumptions.{name}` must be None or a number in \(0, 1\).*; got {wrong!r}")
            for name in ("readout_tol", "refinement_tol")
            for wrong in (0.0, 1.0, -1e-3, math.nan, math.inf, "x")
        ),
        *(
            (
                {"alpha": wrong},
                rf"`assumptions.alpha` must be 'sparse' or a finite number >= 1; got {wrong!r}",
            )
            for wrong in (0.5, math.nan, math.inf, "dense", None)
        ),
    ],
)
def test_a_setting_out_of_range_is_named_before_any_work(settings, message):
    for wrong in (settings, QuantumAssumptions(**settings)):
        with pytest.raises(ValueError, match=message):
            resolve_assumptions(wrong)
        with pytest.raises(ValueError, match=message):
            Scheduler(assumptions=wrong).available_backends()


@pytest.mark.parametrize(
    "wrong", ["optimistic", 3, None, QuantumAssumptions, {"base": "optimistic"}, {"base": []}]
)
def test_a_wrong_value_of_assumptions_raises_an_error_that_lists_the_valid_ones(wrong):
    message = r"`assumptions` must be a QuantumAssumptions, a dict .* one of \['end_to_end', 'paper'\]; got"
    with pytest.raises(ValueError, match=message):
        resolve_assumptions(wrong)


def test_an_unknown_key_raises_an_error_that_lists_the_known_ones():
    message = r"`assumptions` must have keys among .*'base'.*'readout'.*; got \['colour'\]"
    with pytest.raises(ValueError, match=message):
        resolve_assumptions({"colour": "red"})


@given(st.floats(1e-14, 0.5), st.floats(1e-6, 0.5))
def test_refinement_rounds_are_the_minimum_that_reaches_the_tolerance(tol, solve_tol):
    rounds = refinement_rounds(tol, solve_tol)
    assert solve_tol**rounds <= tol * (1 + 1e-6)
    assert rounds == 1 or solve_tol ** (rounds - 1) > tol * (1 - 1e-6)
