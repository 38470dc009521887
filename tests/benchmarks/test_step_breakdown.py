"""Newton steps beside their floors, on a small net."""

from pathlib import Path

import pytest
from sklearn.datasets import load_digits


@pytest.fixture
def step_breakdown(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return pytest.importorskip("step_breakdown")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_step_is_set_beside_one_product_and_one_factorisation(step_breakdown):
    X, y = load_digits(return_X_y=True)
    row = step_breakdown.against_floors("digits", X[:200] / 16.0, y[:200], (4, 4), steps=5)
    assert row["parameters"] == 65 * 4 + 5 * 4 + 5 * 10
    assert min(row["product"], row["cholesky"], row["step"]) > 0
    assert row["ratio"] == pytest.approx(row["step"] / (row["product"] + row["cholesky"]))
