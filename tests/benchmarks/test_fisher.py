"""The layer-wise Fisher of the benchmarks: every shortcut equal to the N x N matrix; the rules; runs that go on."""

import bert
import numpy as np
import pytest
from fisher import Fisher
from language_costs import median_steps, running_mean, steps_to, table_iv
from language_models import chain_data
from optimisers import RULES
from training import Run, Schedule, Training

from qnewton_sk import condition_number


def dense(G, eps):
    F = G.T @ G / len(G)
    return F + eps * (np.abs(F).max() + 1e-10) * np.eye(G.shape[1])


SHAPES = [(6, 20), (20, 6), (8, 8)]


@pytest.fixture(params=SHAPES, ids=str)
def G(request):
    return np.random.default_rng(0).standard_normal(request.param) * np.linspace(1, 3, request.param[1])


def test_direction_equals_the_dense_solve(G):
    v = np.random.default_rng(1).standard_normal(G.shape[1])
    np.testing.assert_allclose(Fisher(G, 0.1).solve(v), np.linalg.solve(dense(G, 0.1), v), rtol=1e-11)


def test_direction_of_the_mean_gradient_lies_in_the_span_of_the_gradients(G):
    """d = G^T c with c = (B lambda I + G G^T)^-1 1."""
    B, fisher = len(G), Fisher(G, 0.1)
    c = np.linalg.solve(G @ G.T + B * fisher.shift * np.eye(B), np.ones(B))
    np.testing.assert_allclose(fisher.solve(G.mean(axis=0)), G.T @ c, rtol=1e-10)


def test_condition_number_is_the_exact_one(G):
    figures = Fisher(G, 0.1).figures(np.random.default_rng(0))
    assert figures.kappa == pytest.approx(condition_number(dense(G, 0.1), "exact"), rel=1e-11)


def test_figures_are_those_of_the_dense_matrix(G):
    figures, A = Fisher(G, 0.5).figures(np.random.default_rng(0)), dense(G, 0.0)
    values = np.linalg.eigvalsh(A)
    assert figures.largest_entry == pytest.approx(np.abs(A).max(), rel=1e-9)
    assert figures.largest_eigenvalue == pytest.approx(values[-1], rel=1e-9)
    assert figures.effective_rank == pytest.approx((values**2).sum() / values[-1] ** 2, rel=1e-9)
    falling = -np.sort(-np.abs(dense(G, 0.5)), axis=1)
    reached = np.cumsum(falling, axis=1) >= 0.5 * falling.sum(axis=1, keepdims=True)
    assert figures.row_sparsity == (reached.argmax(axis=1) + 1).max()


def test_transposed_layout_meets_a_permuted_gradient():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((4, 6))
    gradient, settings = {"w": G.mean(axis=0).reshape(2, 3)}, {"rate": 0.0, "block_rate": 1.0, "eps": 0.1}
    A = dense(G, 0.1)
    wanted = np.linalg.solve(A, gradient["w"].T.ravel()).reshape(3, 2).T
    steps = RULES["newton_transposed"](gradient, {"w": G}, {}, settings)
    np.testing.assert_allclose(steps["w"], -wanted, rtol=1e-11)
    plain = RULES["newton"](gradient, {"w": G}, {}, settings)
    np.testing.assert_allclose(plain["w"].ravel(), -np.linalg.solve(A, gradient["w"].ravel()), rtol=1e-11)
    assert not np.allclose(plain["w"], steps["w"])


def test_damping_far_above_the_spectrum_leaves_the_scaled_gradient():
    G = np.random.default_rng(0).standard_normal((5, 12))
    gradient, settings = {"w": G.mean(axis=0)}, {"rate": 0.0, "block_rate": 1.0, "eps": 1e6}
    newton, scaled = (RULES[rule](gradient, {"w": G}, {}, settings)["w"] for rule in ("newton", "scaled"))
    np.testing.assert_allclose(newton, scaled, rtol=1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_an_interrupted_run_gives_the_same_result(rule, tmp_path):
    model = bert.Bert(vocabulary=20, hidden=8, layers=1, heads=2, intermediate=8, positions=6)
    settings = (("rate", 0.01), ("block_rate", 0.01), ("eps", 10.0))
    args = model, chain_data(model, 6, n=40), Schedule(6, 8, 2, 2, save_every=4), Run(rule, settings, 0)
    whole = Training(*args).advance()
    path = tmp_path / "run.joblib"
    Training(*args).advance(path, stop_at=4)
    resumed = Training(*args).advance(path)
    losses = [[row["train_loss"] for row in run.curve] for run in (whole, resumed)]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    assert whole.validation_loss() == resumed.validation_loss()
    assert whole.figures == resumed.figures


@pytest.mark.parametrize("rule, rate", [("sgd", 1.0), ("newton", 1.0), ("scaled", 1.0), ("adam", 0.01)])
def test_every_rule_lowers_the_loss(rule, rate):
    model = bert.Bert(vocabulary=12, hidden=8, layers=1, heads=2, intermediate=8, positions=6)
    settings = (("rate", rate), ("block_rate", 0.1), ("eps", 10.0))
    run = Training(model, chain_data(model, 6, n=64), Schedule(60, 32, 10**9, 10**9), Run(rule, settings, 0))
    before = run.validation_loss()
    assert run.advance().validation_loss() < before - 0.02


def test_a_run_ends_at_the_first_loss_that_is_not_finite():
    model = bert.Bert(vocabulary=20, hidden=8, layers=1, heads=2, intermediate=8, positions=6)
    run = Training(model, chain_data(model, 6), Schedule(50, 8, 10**9), Run("sgd", (("rate", 1e30),), 0))
    with np.errstate(all="ignore"):
        run.advance()
    assert run.diverged and len(run.curve) < 50


def test_steps_to_a_loss_count_the_running_mean():
    losses = [5.0, 3.0, 1.0, 1.0]
    np.testing.assert_allclose(running_mean(losses), [5.0, 4.0, 3.0, 2.5])
    assert steps_to(losses, 3.0) == 3 and np.isnan(steps_to(losses, 2.0))
    assert median_steps({0: losses, 1: losses, 2: [9.0]}, 3.0) == 3
    assert np.isnan(median_steps({0: losses, 1: [9.0], 2: [9.0]}, 3.0))


def test_times_are_steps_times_seconds_and_the_scheduler_takes_the_cheaper_solver():
    curves = [
        {"rule": rule, "seed": 0, "step": step, "train_loss": 5.0 - slope * step}
        for rule, slope in {"sgd": 0.01, "newton": 0.02, "scaled": 0.02, "adam": 0.03}.items()
        for step in range(60)
    ]
    figures = [
        {"rule": "newton", "parameter": name, "n": n, "kappa": 3.0, "row_sparsity": n // 8, "largest_entry": 1.0,
         "largest_eigenvalue": 20.0, "shift": 10.0}
        for name, n in {"small": 16, "large": 4096}.items()
    ]  # fmt: skip
    rows = table_iv(curves, figures, {"gradient": 0.1, "newton": 0.15}, {"small": 1e-3, "large": 1e-2})
    table = {row["method"]: row for row in rows}
    assert all(row["total_seconds"] == row["steps"] * row["seconds_per_step"] for row in rows)
    assert table["Newton, low-rank solve"]["steps"] < table["SGD"]["steps"]
    for view in ("paper's assumptions", "end to end"):
        cheaper = min(
            table[name]["seconds_per_step"]
            for name in ("Classical only (inverse, C N^3)", f"Quantum only, {view}")
        )
        assert table[f"Q-Newton, {view}"]["seconds_per_step"] <= cheaper
