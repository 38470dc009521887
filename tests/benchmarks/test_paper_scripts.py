"""Every script of benchmarks/paper runs from the command line on a tiny size and shows its main claim."""

import condition_timing
import cost_curves
import dnn
import language_models
import make_page
import model_sizes
import numpy as np
import pytest
import results


@pytest.fixture
def folders(tmp_path):
    return ["--results", str(tmp_path / "results"), "--checkpoints", str(tmp_path / "checkpoints")]


def test_table_1_has_the_published_sizes(tmp_path):
    rows = model_sizes.main(["--results", str(tmp_path)])
    assert [row["parameters"] for row in rows] == [13_002, 2_221_178, 4_334_144]
    read, about = results.read(tmp_path / "table1_model_sizes.csv")
    assert read[2]["trained"] == 238_144
    assert {"command", "date", "machine", "versions"} <= set(about)


def test_table_2_has_bounds_that_hold_and_estimates_that_do_not_exceed(tmp_path):
    rows = condition_timing.study((10, 50), 10.0, 1)
    for row in rows:
        if row["kind"] == "upper bound":
            assert row["ratio"] >= 1 - 1e-9
        if row["kind"] == "exact":
            assert row["ratio"] == pytest.approx(1, rel=1e-9)
        if row["method"] == "lanczos":
            assert row["ratio"] <= 1 + 1e-6
    assert {row["method"] for row in rows} == {*condition_timing.METHODS, "LU"}


def test_table_2_leaves_out_what_would_take_too_long():
    rows = condition_timing.study((100, 10_001, 1)[:1] + (120,), 1e-9, 1)
    assert {row["method"] for row in rows if row["n"] == 120} == {"LU"}


def test_figure_5_grows_with_kappa_and_d_and_the_dense_example_goes_to_the_quantum_solver(tmp_path):
    rows = cost_curves.curves()
    for axis in cost_curves.AXES:
        for view in ("paper", "end_to_end"):
            costs = [row[f"{view}_seconds"] for row in rows if row["axis"] == axis]
            assert all(np.diff(costs) > 0)
    example = cost_curves.abstract_example()
    assert example["paper_seconds"] < example["lu_seconds"] < example["end_to_end_seconds"]
    assert example["paper_seconds"] == pytest.approx(9.13e-8, rel=1e-2)
    cost_curves.main(["--results", str(tmp_path), "--plot", str(tmp_path / "figure.png")])
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_a_crossing_is_where_both_costs_are_equal():
    rows = [{"axis": "d", "d": d, "paper_seconds": d**2 / 100, "lu_seconds": 1.0} for d in (1, 5, 20, 100)]
    assert cost_curves.crossing(rows, "d", "paper") == pytest.approx(10, rel=1e-9)
    assert cost_curves.crossing(rows[:2], "d", "paper") == np.inf
    assert cost_curves.crossing(rows[2:], "d", "paper") == -np.inf


@pytest.mark.parametrize("model", ["bert", "mistral"])
def test_language_models_run_every_rule_and_measure_the_fisher(model, folders, tmp_path):
    sizes = ["--steps", "12", "--sweep-steps", "4", "--seeds", "1", "--positions", "6", "--batch", "8"]
    table = language_models.main(["--model", model, "--tiny", *sizes, *folders])
    seconds = {row["method"]: row["seconds_per_step"] for row in table}
    assert len(seconds) == len(table) and min(seconds.values()) > 0
    figures, about = results.read(tmp_path / "results" / f"language_{model}_fisher.csv")
    assert about["data"].startswith("a random chain")
    assert all(row["effective_rank"] <= min(8, row["n"]) + 1e-9 for row in figures)
    curves, _ = results.read(tmp_path / "results" / f"language_{model}_curves.csv")
    assert {row["rule"] for row in curves} == {"sgd", "newton", "newton_transposed", "scaled", "adam"}


def test_dnn_runs_on_digits_and_an_interrupted_run_continues(folders, tmp_path):
    sizes = [
        "--digits",
        "--steps",
        "14",
        "--rate-steps",
        "12",
        "--sgd-steps",
        "20",
        "--sweeps",
        "--sweep-steps",
        "12",
        "--batch",
        "200",
    ]
    table = dnn.main([*sizes, *folders])
    per_step = {row["method"]: row["seconds_per_step"] for row in table}
    assert per_step["Quantum only, paper's assumptions"] < per_step["Quantum only, end to end"]
    steps, about = results.read(tmp_path / "results" / "dnn_digits_steps.csv")
    assert [row["step"] for row in steps] == list(range(14)) and "steps=14" in about["newton"]
    sweeps, _ = results.read(tmp_path / "results" / "dnn_digits_sweeps.csv")
    kappas = [row["kappa"] for row in sweeps if row["eps"] >= 1.0 and row["pruned_share"] is None]
    assert kappas == sorted(kappas, reverse=True)
    with pytest.raises(SystemExit):  # no Newton step would choose the rate
        dnn.main([*sizes, *folders, "--rate-steps", "10"])
    data, settings = dnn.digits(), dnn.Settings("newton", 13, 1.0, batch=100)
    whole = dnn.Run(data, settings).advance()
    dnn.Run(data, settings).advance(tmp_path / "run", stop_at=11)
    np.testing.assert_array_equal(dnn.Run(data, settings).advance(tmp_path / "run").theta, whole.theta)


def test_the_page_has_a_row_per_claim_and_says_where_no_run_exists(tmp_path):
    model_sizes.main(["--results", str(tmp_path / "results")])
    cost_curves.main(["--results", str(tmp_path / "results")])
    page = make_page.page(tmp_path / "results")
    wanted = ["Table I:", "Table II:", "Table III:", "Table IV:", "Figure 1, left", "Figure 1, right"]
    wanted += [
        "Figure 2, BERT",
        "Figure 2, Mistral",
        "Figure 3",
        "Figure 5, left",
        "Figure 5, right",
        "Figure 6",
    ]
    wanted += ["Figure 8", "Abstract"]
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for name in wanted:
        assert sum(line.startswith(f"| {name}") for line in rows) >= 1, name
    assert "2,221,178" in page and "no run yet" in page


def test_the_page_is_what_the_result_files_give():
    """After a new run: ``python benchmarks/paper/make_page.py``."""
    assert make_page.PAGE.read_text(encoding="utf-8") == make_page.page()


def test_results_survive_writing_and_reading(tmp_path):
    rows = [{"a": 1, "b": "x, y", "c": None}, {"a": 2.5, "b": "z", "c": float("nan")}]
    results.write(tmp_path / "t.csv", rows, {"data": "a: b"})
    read, about = results.read(tmp_path / "t.csv")
    assert about["data"] == "a: b" and read[0] == {"a": 1.0, "b": "x, y", "c": None}
    assert np.isnan(read[1]["c"])
