"""Costs of classical solves: formulas against published operation counts, monotony, rates."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from qnewton_sk import SystemFacts
from qnewton_sk.machine import REFERENCE_RATES, Rates, calibrate
from qnewton_sk.solvers.conjugate_gradients import CGCost
from qnewton_sk.solvers.dense import DirectCost
from qnewton_sk.solvers.trust_region import MoreSorensenCost
from qnewton_sk.solvers.woodbury import WoodburyCost
from qnewton_sk.systems.cost_estimate import CostEstimate

KERNELS = ("gemm", "lu", "cholesky", "ldl")
FLAT = Rates(dict.fromkeys(KERNELS, ((16, 1e9),)), bytes_per_second=1e9, call_seconds=1e-5)
STEEP = Rates(dict.fromkeys(KERNELS, ((16, 1e8), (64, 1e9), (1024, 1e10))))
FACTS = SystemFacts(n=1000, kappa=100.0, rank=50, shift=1.0)
MODELS = [
    DirectCost("lu", FLAT),
    DirectCost("cholesky", FLAT),
    DirectCost("ldl", FLAT),
    CGCost(FLAT),
    WoodburyCost(FLAT),
]


# -- rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", [DirectCost("ldl"), CGCost(), WoodburyCost(), MoreSorensenCost()])
def test_costs_use_the_reference_rates_unless_told_otherwise(cost):
    given = clone(cost).set_params(rates=REFERENCE_RATES)
    assert cost(FACTS, 1e-6) == given(FACTS, 1e-6)
    assert cost(FACTS, 1e-6) != given.set_params(rates=FLAT)(FACTS, 1e-6)


def test_prediction_of_lu_is_near_the_time_taken():
    with threadpool_limits(1, "blas"):
        A = np.asfortranarray(np.random.default_rng(0).standard_normal((400, 400)))
        predicted = DirectCost("lu", calibrate())(SystemFacts(n=400), 1e-6).seconds

        taken = []
        for _ in range(5):
            start = time.perf_counter()
            linalg.lapack.dgetrf(A)
            taken.append(time.perf_counter() - start)
    assert min(taken) / 30 < predicted < 30 * min(taken)


# -- formulas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel, flops", [("lu", 2 / 3), ("cholesky", 1 / 3), ("ldl", 1 / 3)])
@pytest.mark.parametrize("n", [10, 1000])
def test_direct_costs_are_those_of_the_textbook(kernel, flops, n):
    terms = DirectCost(kernel, FLAT)(SystemFacts(n=n), 1e-6).terms
    assert terms["factorisation_seconds"] == pytest.approx(flops * n**3 / 1e9)
    assert terms["substitution_seconds"] == pytest.approx(8 * n**2 / 1e9)
    assert terms["assembly_seconds"] == 0


@pytest.mark.parametrize("kernel", ["lu", "cholesky", "ldl"])
def test_what_exists_already_costs_nothing_more(kernel):
    cost = DirectCost(kernel, FLAT)
    lazy = replace(FACTS, assembly_flops=1e9)
    assert cost(lazy, 1e-6).seconds == pytest.approx(cost(FACTS, 1e-6).seconds + 1.0)
    paid = cost(replace(FACTS, factorised=(kernel,)), 1e-6)
    assert paid.terms["factorisation_seconds"] == 0 and paid.seconds < cost(FACTS, 1e-6).seconds
    other = cost(replace(FACTS, factorised=("another",)), 1e-6)
    assert other.seconds == cost(FACTS, 1e-6).seconds


@pytest.mark.parametrize("kappa, tol", [(1.0, 1e-2), (100.0, 1e-6), (1e6, 1e-3)])
def test_products_of_cg_are_those_of_saad(kappa, tol):
    terms = CGCost(FLAT)(replace(FACTS, n=10**6, kappa=kappa, product_flops=1e9), tol).terms
    assert terms["products"] == math.ceil(math.sqrt(kappa) / 2 * math.log(2 / tol))
    assert terms["product_seconds"] == pytest.approx(1.0)


def test_cg_takes_what_was_observed_and_never_more_than_2n():
    cost = CGCost(FLAT)
    assert cost(replace(FACTS, iterations=3.0), 1e-12).terms["products"] == 3
    assert cost(replace(FACTS, kappa=1e12), 1e-12).terms["products"] == 2 * FACTS.n


def test_cg_of_an_infinite_condition_number_has_a_price():
    estimate = CGCost(FLAT)(replace(FACTS, kappa=math.inf), 1e-6)
    assert estimate.terms["products"] == 2 * FACTS.n


def test_cg_needs_no_assembly():
    assert CGCost(FLAT)(replace(FACTS, assembly_flops=1e15), 1e-6) == CGCost(FLAT)(FACTS, 1e-6)


def test_woodbury_grows_with_the_rank_not_with_the_cube_of_n():
    cost = WoodburyCost(FLAT)
    assert cost(FACTS, 1e-6).seconds < DirectCost("cholesky", FLAT)(FACTS, 1e-6).seconds
    assert cost(replace(FACTS, rank=1000), 1e-6).seconds > DirectCost("cholesky", FLAT)(FACTS, 1e-6).seconds
    terms = cost(replace(FACTS, factor_flops=1e9), 1e-6).terms
    assert terms["factor_seconds"] == pytest.approx(1.0)
    assert terms["gram_seconds"] == pytest.approx(2 * 50**2 * 1000 / 1e9)
    assert terms["cholesky_seconds"] == pytest.approx(50**3 / 3 / 1e9)


@pytest.mark.parametrize("cost", MODELS, ids=lambda model: type(model).__name__)
@given(n=st.integers(1, 10**6), more=st.integers(1, 10**6))
def test_costs_are_positive_pure_and_grow_with_n(cost, n, more):
    facts = SystemFacts(n=n, kappa=10.0, rank=3, shift=1.0)
    estimate = cost(facts, 1e-3)
    assert isinstance(estimate, CostEstimate) and 0 < estimate.seconds < math.inf
    assert estimate == cost(facts, 1e-3)
    assert estimate.source and all("_seconds" in term or term == "products" for term in estimate.terms)
    assert cost(SystemFacts(n=n + more, kappa=10.0, rank=3, shift=1.0), 1e-3).seconds >= estimate.seconds


@given(st.floats(1, 1e10), st.floats(1, 10), st.floats(1e-14, 0.1), st.floats(1, 10))
def test_cg_costs_more_for_harder_systems_and_tighter_answers(kappa, times, tol, looser):
    cost, facts = CGCost(FLAT), SystemFacts(n=1000, kappa=kappa)
    assert cost(replace(facts, kappa=kappa * times), tol).seconds >= cost(facts, tol).seconds
    assert cost(facts, tol * looser).seconds <= cost(facts, tol).seconds


@pytest.mark.parametrize("cost", MODELS, ids=lambda model: type(model).__name__)
def test_parts_can_be_cloned(cost):
    assert clone(cost)(FACTS, 1e-6) == cost(FACTS, 1e-6)
