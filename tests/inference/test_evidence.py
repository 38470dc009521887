"""The search for the evidence: what it keeps, in which units, and that it does not drift."""

import warnings

import numpy as np
import pytest

from qnewton_sk import QNewtonRegressor, Scheduler
from qnewton_sk.conditioning import prepare
from qnewton_sk.curvature import GaussNewton
from qnewton_sk.inference import Penalties, laplace, natural_penalties, penalty_groups
from qnewton_sk.inference.scales import TargetUnits
from qnewton_sk.inference.search import NEGLIGIBLE, RELAXATION, FixedPoint, Search, updated
from qnewton_sk.nets import Network, Objective, resolve_activation, resolve_loss
from qnewton_sk.optimize import Newton, TrustRegion


def objective_on(y, loss="squared_error", seed=0):
    rng = np.random.default_rng(seed)
    y = np.reshape(y, (len(y), -1)).astype(float)
    X = rng.standard_normal((len(y), 2))
    network = Network([2, 3, y.shape[1]], [resolve_activation("tanh")], resolve_loss(loss))
    return Objective(network, X, y, rng.integers(1, 3, len(y)).astype(float))


def test_units_of_the_targets_change_nothing_but_the_units():
    objective = objective_on(1e3 + 50 * np.random.default_rng(1).standard_normal((30, 2)))
    network, units = objective.network, TargetUnits.of(objective)
    theta = network.initial(np.random.RandomState(0))
    inside, back = units.objective(objective), units.theta_to_user(network, theta)
    np.testing.assert_allclose(
        network.raw(objective.X, back), units.centre + units.scale * network.raw(objective.X, theta)
    )
    assert objective.value(back) == pytest.approx(units.scale**2 * inside.value(theta), rel=1e-9)
    np.testing.assert_allclose(units.theta_from_user(network, back), theta, rtol=1e-9)
    assert np.average(inside.targets, axis=0, weights=inside.weight) == pytest.approx([0, 0], abs=1e-9)


def test_evidence_in_the_user_s_units_is_that_of_the_user_s_objective():
    objective = objective_on(7 + 20 * np.random.default_rng(1).standard_normal((30, 2)))
    network, units, groups = objective.network, TargetUnits.of(objective), penalty_groups(objective.network)
    search = Search(
        NoSteps(),
        units.objective(objective),
        groups,
        natural_penalties(units.objective(objective), groups),
        network.initial(np.random.RandomState(0)),
        Penalties(np.array([1.0, 2.0, 3.0]), 1.5),
    )
    search.update()
    mine = units.evidence_to_user(objective, search.best)
    direct = laplace(objective, mine.theta, groups, mine.penalties)
    assert mine.log_evidence == pytest.approx(direct.log_evidence, rel=1e-10)
    np.testing.assert_allclose(mine.effective, direct.effective, rtol=1e-8)


class NoSteps:
    """In place of a loop, for searches that take no step."""


def test_updates_are_extrapolated_to_the_fixed_point_of_a_linear_map():
    rng = np.random.default_rng(0)
    M, fixed = 0.95 * np.diag([1.0, 0.6, 0.2]), rng.standard_normal(3)
    path, point = FixedPoint(), fixed + rng.uniform(-1, 1, 3)
    for _ in range(4):
        path.add(point, fixed + M @ (point - fixed))
        point = path.extrapolated()
    # there are as many differences as dimensions; without them it takes 200 iterations
    np.testing.assert_allclose(point, fixed, atol=1e-8)


def test_a_start_keeps_its_best_and_refines_it():
    objective = objective_on(np.sin(np.arange(40.0)))
    groups = penalty_groups(objective.network)
    natural = natural_penalties(objective, groups)
    search = Search(
        NoSteps(), objective, groups, natural, objective.network.initial(np.random.RandomState(0)), natural
    )
    search.update()
    first = search.log_evidence
    search.refine()
    assert search.log_evidence > first
    refined = search.log_evidence
    worse = search.theta + 1.0
    search.theta = worse
    assert not search.accept()
    assert search.log_evidence == refined
    search.rewind()
    assert search.accept()


def test_damping_goes_on_from_update_to_update_and_is_initial_again_after_a_rewind():
    objective = objective_on(np.sin(np.arange(40.0)))
    groups = penalty_groups(objective.network)
    natural = natural_penalties(objective, groups)
    newton = Newton(GaussNewton(), Scheduler(), TrustRegion(), prepare)
    search = Search(
        newton, objective, groups, natural, objective.network.initial(np.random.RandomState(0)), natural
    )
    initial = newton.step_control.initial()

    def first_damping():
        return next(search.steps(np.random.RandomState(0), 1, 5)).steps[0].damping

    assert first_damping() == initial.damping
    search.update()
    learnt = search.control
    assert learnt.damping != initial.damping and first_damping() == learnt.damping
    search.rewind()
    assert first_damping() == initial.damping


def test_accepted_steps_do_not_drift_below_the_best(monkeypatch):
    objective = objective_on(np.sin(np.arange(40.0)))
    groups = penalty_groups(objective.network)
    natural = natural_penalties(objective, groups)
    search = Search(
        NoSteps(), objective, groups, natural, objective.network.initial(np.random.RandomState(0)), natural
    )
    search.update()
    best = search.log_evidence
    theta, direction = search.theta, np.random.default_rng(0).standard_normal(search.theta.size)
    for step in np.linspace(0, 2, 400):
        search.theta = theta + step * direction
        search.accept()
    assert search.log_evidence >= best - NEGLIGIBLE


@pytest.mark.parametrize("loss, factor", [("poisson", RELAXATION), ("squared_error", 1.0)])
def test_penalties_go_beyond_the_fixed_point_s_only_where_there_is_no_noise(loss, factor):
    labels = (np.sin(np.arange(40.0)) > 0).astype(float)
    objective = objective_on(labels, loss)
    groups = penalty_groups(objective.network)
    natural = natural_penalties(objective, groups)
    theta = objective.network.initial(np.random.RandomState(0))
    search = Search(NoSteps(), objective, groups, natural, theta, natural)
    wanted, *_ = updated(objective, groups, natural, laplace(objective, theta, groups, natural))
    search.update()
    moved = np.log(search.penalties.alpha / natural.alpha)
    asked = np.log(wanted.alpha / natural.alpha)
    np.testing.assert_allclose(moved, np.clip(factor * asked, -np.log(10), np.log(10)), rtol=1e-9)
    assert np.abs(moved).max() > 0.1


def test_natural_penalties_follow_the_scales_of_the_data():
    objective = objective_on(100 * np.random.default_rng(1).standard_normal(50))
    groups = penalty_groups(objective.network, per_input=True)
    natural = natural_penalties(objective, groups)
    share = objective.weight / objective.weight.sum()
    spread = share @ (objective.X - share @ objective.X) ** 2
    np.testing.assert_allclose(natural.alpha[:2], spread)
    variance = share @ (objective.targets[:, 0] - share @ objective.targets[:, 0]) ** 2
    assert natural.beta == pytest.approx(1 / variance)
    np.testing.assert_allclose(natural.alpha[2:], [1 / variance, 1.0])


def test_every_epoch_is_recorded_in_the_user_s_units():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (50, 1))
    y = 1000 + 300 * np.sin(2 * X[:, 0]) + rng.normal(0, 30, 50)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = QNewtonRegressor((6,), alpha="evidence", random_state=0, max_iter=40).fit(
            X, y, X_val=X, y_val=y
        )
    seen = model.validation_scores_
    assert len(seen) == model.n_iter_ == len(model.loss_curve_)
    assert max(seen) > 0.9
    assert min(model.loss_curve_) > 100  # half the noise variance is 450
