"""Newton steps beside their floors, on a small net."""

import pytest
import step_breakdown
from _common import quiet
from sklearn.datasets import load_digits


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_step_is_set_beside_one_product_and_one_factorisation():
    X, y = load_digits(return_X_y=True)
    with quiet():
        row = step_breakdown.against_floors("digits", X[:200] / 16.0, y[:200], (4, 4), steps=5)
    assert row["parameters"] == 65 * 4 + 5 * 4 + 5 * 10
    assert min(row["product"], row["cholesky"], row["step"]) > 0
    assert row["ratio"] == pytest.approx(row["step"] / (row["product"] + row["cholesky"]))
