"""The race to an accuracy: its clock, its end, and sides that get there on digits."""

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture
def race_module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return pytest.importorskip("time_to_accuracy")


def test_validation_is_off_the_clock_and_the_best_accuracy_counts(race_module):
    y = np.array([0, 1, 1, 0])
    race = race_module.Race((np.zeros((4, 1)), y), wanted=0.75, patience=60.0)

    def slowly(wrong):
        def predict(X):
            time.sleep(0.2)
            return np.where(np.arange(4) < wrong, 1 - y, y)

        return predict

    assert not race.epoch(slowly(2))
    assert np.isnan(race.row("a side")["seconds"])
    assert race.epoch(slowly(1))
    row = race.row("a side")
    assert (row["side"], row["epochs"], row["accuracy"]) == ("a side", 2, 0.75)
    assert row["seconds"] < 0.2


def test_a_side_ends_when_its_patience_does(race_module):
    race = race_module.Race((np.zeros((1, 1)), np.array([1])), wanted=0.9, patience=0.0)
    assert race.epoch(lambda X: np.array([0])) and np.isnan(race.row("a side")["seconds"])


def test_nets_reach_the_accuracy_on_digits(race_module, monkeypatch):
    pytest.importorskip("sklearn.callback")
    sides = {"ours": race_module.ours, "mlp": race_module.mlp_adam}
    monkeypatch.setattr(race_module, "sides", lambda threads: sides)
    X, y = load_digits(return_X_y=True)
    rows = race_module.compare(X / 16.0, y, (16,), 0.9, 60.0, threads=1, n_validation=400)
    assert [row["side"] for row in rows] == ["ours", "mlp"]
    assert all(row["accuracy"] >= 0.9 and row["seconds"] > 0 and row["epochs"] > 1 for row in rows)
