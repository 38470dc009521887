"""The cost model of steps on many workers: limits that must hold whatever the constants are."""

import importlib
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def model():
    """The script, whose neighbours it imports by their bare names."""
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("on_workers")
    finally:
        sys.path.remove(folder)


@pytest.fixture
def constants(model):
    """Constants of the right order: milliseconds, a gigabyte per second, a microsecond per sample."""
    return model.Constants(2e-3, 2e-4, 1e9, 1e-6, 2e-6, 1e-4, 1e10)


@pytest.mark.parametrize("kind", ["gradient", "newton", "newton-cg"])
def test_one_worker_sends_nothing_and_computes_all(model, constants, kind):
    terms = model.step_terms(constants, kind, 1, 10**6, 1000)
    assert terms["broadcast"] == terms["reduction"] == 0
    per_sample = {"gradient": 1e-6, "newton": 1e-6 + 1e-4, "newton-cg": 1e-6 + model.PRODUCTS * 2e-6}[kind]
    assert terms["compute"] == pytest.approx(1e6 * per_sample)
    assert terms["solve"] == (pytest.approx(1000**3 / 3e10) if kind == "newton" else 0)


def test_twice_the_workers_compute_in_half_the_time_and_schedule_twice_as_many_tasks(model, constants):
    few, many = (model.step_terms(constants, "gradient", w, 10**8, 1000) for w in (32, 64))
    assert many["compute"] == pytest.approx(few["compute"] / 2)
    assert many["scheduling"] == pytest.approx(2 * few["scheduling"])


def test_levels_of_the_reduction_are_those_of_the_tree(model, constants):
    seconds = [model.sum_terms(constants, w, 1, 0.0, 10, 8e9)["reduction"] for w in (1, 8, 9, 64, 512)]
    assert seconds == pytest.approx([0, 56, 112, 112, 168])


def test_products_move_vectors_where_assembly_moves_a_matrix(model, constants):
    newton, products = (
        model.step_terms(constants, kind, 64, 10**6, 3000) for kind in ("newton", "newton-cg")
    )
    assert newton["reduction"] > 100 * products["reduction"]
