"""Every example runs; what it prints or draws is not empty."""

import runpy
from pathlib import Path

import pytest
from matplotlib import pyplot
from sklearn.exceptions import ConvergenceWarning

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").rglob("*_*.py"))


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    monkeypatch.setattr(pyplot, "show", lambda: None)
    yield
    pyplot.close("all")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}")
def test_example(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    drawn = [ax for number in pyplot.get_fignums() for ax in pyplot.figure(number).axes]
    assert capsys.readouterr().out or drawn
    assert all(ax.has_data() for ax in drawn)
