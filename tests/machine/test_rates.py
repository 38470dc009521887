"""Rates: interpolation, checks of wrong input, and what ships with the package; measurement only on request."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, Scheduler, SystemFacts
from qnewton_sk.machine import FLOPS, REFERENCE_RATES, Rates, calibrate, calibration
from qnewton_sk.scheduling import classical_backends, default_backends

STEEP = Rates(dict.fromkeys(FLOPS, ((16, 1e8), (64, 1e9), (1024, 1e10))))
SLOW = Rates(dict.fromkeys(FLOPS, ((16, 1e6),)), bytes_per_second=1e6)
FACTS = SystemFacts(n=500, kappa=100.0, positive_definite=True, shift=1.0, norm=1.0)


@pytest.mark.parametrize(
    "n, rate", [(1, 1e8), (16, 1e8), (64, 1e9), (32, math.sqrt(1e8 * 1e9)), (1024, 1e10), (10**6, 1e10)]
)
def test_rates_are_interpolated_in_the_logarithm(n, rate):
    assert STEEP.rate("lu", n) == pytest.approx(rate)
    assert STEEP.seconds("lu", 5.0, n) == pytest.approx(5.0 / rate)


@given(st.floats(1, 1e5), st.floats(1, 1e5))
def test_rates_increase_if_the_table_increases(a, b):
    assert (STEEP.rate("lu", max(a, b)) >= STEEP.rate("lu", min(a, b))) or a == b


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(flops_per_second={"lu": ((16, 1e9),)}), "`flops_per_second` must map every kernel"),
        (dict(flops_per_second=1e9), "`flops_per_second` must map every kernel"),
        (dict(flops_per_second=dict.fromkeys(FLOPS, ())), "`flops_per_second` must have growing orders"),
        (
            dict(flops_per_second=dict.fromkeys(FLOPS, ((64, 1e9), (16, 1e9)))),
            "`flops_per_second` must have growing orders",
        ),
        (
            dict(flops_per_second=dict.fromkeys(FLOPS, ((16, math.nan),))),
            "`flops_per_second` must hold positive",
        ),
        (dict(call_seconds=-1.0), "`call_seconds` must hold positive"),
        (dict(bytes_per_second=math.inf), "`bytes_per_second` must hold positive"),
        (dict(single_speed=0.0), "`single_speed` must hold positive"),
    ],
)
def test_wrong_rates_are_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        Rates(**(dict(flops_per_second=STEEP.flops_per_second) | settings))


def test_a_record_does_not_change_with_the_table_that_it_was_made_from():
    table = {kernel: [[16, 1e9]] for kernel in FLOPS}
    rates = Rates(table)
    table["lu"][0][1] = 1.0
    assert rates.rate("lu", 16) == 1e9
    with pytest.raises(AttributeError):
        rates.call_seconds = 1.0


def test_rates_can_be_pickled_and_cloned_with_a_scheduler():
    scheduler = Scheduler(rates=STEEP)
    assert pickle.loads(pickle.dumps(scheduler)).rates == clone(scheduler).rates == STEEP


# -- which rates are used ------------------------------------------------------------------------------------


def lu_seconds(backends):
    (lu,) = [backend for backend in backends if backend.name == "lu"]
    return lu.cost(FACTS, 1e-6).seconds


def test_the_scheduler_predicts_with_the_reference_rates_or_with_those_given():
    reference = Scheduler().choose(FACTS, 1e-6).estimates
    assert reference == Scheduler(default_backends(rates=REFERENCE_RATES)).choose(FACTS, 1e-6).estimates
    slow = Scheduler(rates=SLOW).choose(FACTS, 1e-6).estimates
    for name in set(reference) - {"qlsa"}:
        assert slow[name].seconds > 10 * reference[name].seconds, name
    assert slow["qlsa"] == reference["qlsa"]


def test_backends_take_rates():
    reference = lu_seconds(Scheduler().available_backends())
    for offered in (classical_backends, default_backends):
        assert lu_seconds(offered()) == reference < lu_seconds(offered(rates=SLOW))


@pytest.mark.parametrize("rates", [None, "calibrated", calibrate, 1e9, {"lu": ((16, 1e9),)}, ["reference"]])
def test_unknown_rates_are_refused_by_name(rates):
    with pytest.raises(ValueError, match="`rates` must be .*; got .*calibrate"):
        Scheduler(rates=rates).available_backends()


def test_reference_rates_name_their_source_and_are_plausible():
    assert "benchmarks/reference_rates.py" in REFERENCE_RATES.source
    for kernel in FLOPS:
        assert 1e8 < REFERENCE_RATES.rate(kernel, 16) < REFERENCE_RATES.rate(kernel, 512) < 1e12
    assert REFERENCE_RATES.rate("ldl", 512) <= REFERENCE_RATES.rate("cholesky", 512)


# -- measurement ---------------------------------------------------------------------------------------------


def test_calibrate_measures_once_per_process_and_again_on_request(monkeypatch):
    measured = []
    monkeypatch.setattr(calibration, "_MEASURED", {})
    monkeypatch.setattr(calibration, "measure_rates", lambda: measured.append(1) or STEEP)
    assert calibrate() is calibrate() and len(measured) == 1
    calibrate(refresh=True)
    assert len(measured) == 2


def test_measured_rates_cover_every_kernel_and_order():
    rates = calibration.measure_rates((8, 16), repeats=1, source="a test")
    assert {
        kernel: [n for n, _ in table] for kernel, table in rates.flops_per_second.items()
    } == dict.fromkeys(FLOPS, [8, 16])
    assert all(
        ldl <= cholesky
        for (_, ldl), (_, cholesky) in zip(*map(rates.flops_per_second.get, ("ldl", "cholesky")))
    )
    assert rates.source == "a test"


@pytest.mark.parametrize("curvature", ["auto", "hessian", "gauss_newton", "empirical_fisher"])
@pytest.mark.parametrize("scheduler", ["auto", "classical", "quantum", "paper"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_fit_measures_the_machine(monkeypatch, curvature, scheduler):
    monkeypatch.setattr(calibration, "measure_rates", lambda *args, **settings: pytest.fail("measured"))
    monkeypatch.setattr(calibration, "_MEASURED", {})
    with pytest.raises(pytest.fail.Exception):
        calibrate()
    X = np.random.default_rng(0).standard_normal((60, 3))
    settings = dict(
        hidden_layer_sizes=(4,), curvature=curvature, scheduler=scheduler, max_iter=6, random_state=0
    )
    net = QNewtonClassifier(first_order_steps=2, **settings).fit(X, X[:, 0] * X[:, 1] > 0)
    assert net.schedule_ or curvature == "auto"
    QNewtonRegressor(**settings).fit(X, X[:, 0])
