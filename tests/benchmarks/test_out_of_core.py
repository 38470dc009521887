"""The benchmark of data in files runs from the command line on few rows and answers each of its questions."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytest.importorskip("zarr")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of a quick run, numbers as numbers, by the question that they answer."""
    folder = tmp_path_factory.mktemp("out_of_core")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "benchmarks/out_of_core.py", "--quick", "--repeats", "1", "--seconds", "1"]
    subprocess.run(
        [*command, "--csv", str(folder / "rows.csv")],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)},
        capture_output=True,
    )
    left = {each.name for each in folder.iterdir()}
    assert left <= {
        "rows.csv",
        "dask-scratch-space",
    }  # the data are removed; the other folder belongs to dask
    found = {}
    with open(folder / "rows.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            answer = {name: value for name, value in row.items() if value}
            found.setdefault(answer.pop("question"), []).append(answer)
    return found


def test_the_speed_up_is_that_of_two_workers_over_one(rows):
    (row,) = ({name: float(value) for name, value in row.items()} for row in rows["speed-up"])
    assert row["ratio"] == pytest.approx(row["one_worker"] / row["two_workers"])


def test_memory_is_that_of_processes_and_a_pass_is_compared_with_numpy(rows):
    (row,) = ({name: float(value) for name, value in row.items()} for row in rows["memory"])
    assert row["steps"] == 10
    for name in ("client MB", "worker MB", "numpy MB"):
        assert 50 < row[name] < 1500  # an interpreter with numpy is never smaller, and these data are small
    assert row["ratio"] == pytest.approx(row["gradient on workers"] / row["numpy, 2 threads"])


def test_every_side_learns_something_in_the_time_that_it_is_given(rows):
    sides = {row["side"]: row for row in rows["peers"]}
    assert {"dask", "2000 rows, then dask", "MLPRegressor.partial_fit"} <= set(sides)
    for row in sides.values():
        assert 0.9 < float(row["lowest / floor"]) < 60  # the mean of the targets has a loss of 44 floors
