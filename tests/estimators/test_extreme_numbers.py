"""Fits of numbers of any size: a finite model, an honest ending or a refusal by name, and no warning of numpy's."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_regression
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk import (
    Backend,
    CostEstimate,
    QNewtonClassifier,
    QNewtonRegressor,
    Scheduler,
    Solution,
    Solver,
    SolveStatus,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 3))
T = X[:, 0] - 0.5 * X[:, 1] ** 2
Y = np.arange(24) % 3


def fitted(model, *data, **rest):
    """Fit; the only warning is a ConvergenceWarning, the model is finite, and `loss_` the objective at its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*data, **rest)
        model.predict(data[0])
    assert all(np.isfinite(part).all() for part in [*model.coefs_, *model.intercepts_])
    return model


@pytest.mark.parametrize("scale", [1e308, 1e200, 1e-200, 1e-308])
@pytest.mark.parametrize("kind", [QNewtonClassifier, QNewtonRegressor])
def test_inputs_of_any_size_end_without_a_false_success(kind, scale):
    inputs = np.clip(X, -1.7, 1.7) * scale
    net = fitted(kind((3,), random_state=0, max_iter=30), inputs, Y if kind is QNewtonClassifier else T)
    if net.converged_ and kind is QNewtonRegressor:
        assert abs(np.mean(net.predict(inputs) - T)) <= net.tol
    elif net.converged_:
        np.testing.assert_allclose(net.predict_proba(inputs).mean(axis=0), 1 / 3, atol=net.tol)


def test_poisson_means_that_overflow_at_the_start_are_fitted_from_smaller_parameters():
    counts = np.round(np.exp(np.minimum(X[:, 0], 2.0)))
    net = fitted(QNewtonRegressor((), loss="poisson", alpha=0.0, random_state=0), X * 1e4, counts)
    assert net.converged_
    assert net.loss_ == pytest.approx(
        fitted(QNewtonRegressor((), loss="poisson", alpha=0.0, random_state=0), X, counts).loss_, rel=1e-3
    )


@pytest.mark.parametrize("batch_size", ["auto", 5])
def test_the_loss_of_a_fit_is_that_of_all_the_data_at_its_end(batch_size):
    net = fitted(QNewtonRegressor((3,), alpha=0.0, batch_size=batch_size, random_state=0, max_iter=5), X, T)
    assert net.loss_ == pytest.approx(np.mean((net.predict(X) - T) ** 2) / 2, rel=1e-12)


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"batch_size": 5}])
def test_weights_of_any_size_give_the_same_fit_as_their_ratios(settings):
    """All but the penalty, which the sum of the weights divides."""
    weight = RNG.integers(1, 5, 24).astype(float)
    nets = [
        fitted(
            QNewtonRegressor((3,), alpha=0.0, random_state=0, max_iter=20, **settings), X, T, sample_weight=w
        )
        for w in (weight, weight * 2.0**1000, weight * 2.0**-1000)
    ]
    for net in nets[1:]:
        np.testing.assert_allclose(net.predict(X), nets[0].predict(X), rtol=1e-6)


def test_weights_of_one_are_no_weights():
    nets = [
        fitted(QNewtonRegressor((3,), batch_size=5, random_state=0, max_iter=5), X, T, sample_weight=w)
        for w in (None, np.ones(24))
    ]
    np.testing.assert_array_equal(nets[0].predict(X), nets[1].predict(X))


@pytest.mark.parametrize(
    "weight, alpha, name",
    [(1e308, 1e-4, "sample_weight"), (1e-306, 1e10, "alpha"), (1.0, 10**400, "alpha")],
    ids=["sum of weights", "penalty", "alpha"],
)
def test_what_no_float_holds_is_refused_by_name(weight, alpha, name):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        QNewtonRegressor((3,), alpha=alpha).fit(X, T, sample_weight=np.full(24, weight))


def test_single_precision_refuses_what_it_cannot_hold_by_name():
    with pytest.raises(ValueError, match="`y` must be within the range of float32"):
        QNewtonRegressor((3,)).fit(X.astype(np.float32), T * 1e39)
    with pytest.raises(ValueError, match="`sample_weight` must be within the range of float32"):
        QNewtonRegressor((3,)).fit(X.astype(np.float32), T, sample_weight=np.full(24, 1e39))


@pytest.mark.parametrize("settings", [{"posterior": "layer"}, {"alpha": "evidence"}])
@pytest.mark.parametrize(
    "changes, name",
    [
        ((1e237, 1.0, 1.0), "X"),
        ((1e-85, 1.0, 1.0), "X"),
        ((1.0, 1e162, 1.0), "y"),
        ((1.0, 1.0, 1e200), "sample_weight"),
    ],
)
def test_inference_refuses_numbers_whose_powers_overflow(settings, changes, name):
    x, y, w = changes
    with pytest.raises(ValueError, match=f"`{name}` must be between"):
        QNewtonRegressor((3,), **settings).fit(X * x, T * y, sample_weight=RNG.uniform(1, 2, 24) * w)


def test_the_score_of_targets_whose_squares_overflow_is_that_of_smaller_ones():
    nets = [
        fitted(QNewtonRegressor((), early_stopping=True, random_state=0, max_iter=5), X, T * scale)
        for scale in (1.0, 2.0**600)
    ]
    assert np.isfinite(nets[1].validation_scores_).all()


def test_one_validation_sample_has_no_score():
    with pytest.raises(ValueError, match="`X_val` must hold at least two samples"):
        QNewtonRegressor((3,)).fit(X, T, X_val=X[:1], y_val=T[:1])
    fitted(QNewtonClassifier((3,), max_iter=3), X, Y, X_val=X[:1], y_val=Y[:1])


def test_the_best_validation_score_is_no_convergence():
    """The model that is kept is an earlier one than that of the small gradient."""
    rng = np.random.default_rng(1)
    for seed in range(20):
        noisy = rng.standard_normal(12)
        net = QNewtonRegressor(
            (2,), early_stopping=True, n_iter_no_change=500, random_state=seed, max_iter=300
        )
        net.fit(X[:12], noisy, X_val=X[12:], y_val=noisy)
        if net.converged_:
            continue
        assert net.stop_reason_ in ("early_stopping", "max_iter", "no_improvement", "saddle", "stalled")
        if net.stop_reason_ == "early_stopping":
            return
    raise AssertionError("no fit has converged after its best score")


class Zeros(Solver):
    """A solver whose answer is always zero."""

    def solve(self, system):
        return Solution(np.zeros_like(system.rhs), SolveStatus.SUCCESS, 0.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"regularization": 1e100},
        {"regularization": 1e100, "step_control": "fixed"},
        {"scheduler": Scheduler([Backend("zeros", Zeros(), lambda facts, tol: CostEstimate(1e-6))])},
        {"learning_rate_init": 1e-100},
    ],
)
def test_a_fit_that_does_not_move_has_not_converged(settings):
    net = fitted(QNewtonRegressor((3,), curvature="hessian", random_state=0, max_iter=50, **settings), X, T)
    residual = np.mean(net.predict(X) - T)
    assert not net.converged_ or abs(residual) <= net.tol


def test_a_radius_that_shrinks_to_nothing_is_no_error():
    inputs, targets = make_regression(100, 2, n_informative=2, random_state=42)
    net = QNewtonRegressor(10, batch_size=10, learning_rate_init=0.01, random_state=42)
    fitted(net, inputs, targets)


@pytest.mark.parametrize("tol", [0, 0.0])
def test_a_tolerance_of_zero_is_taken(tol):
    net = fitted(QNewtonRegressor((2,), tol=tol, random_state=0, max_iter=30), X, T)
    assert not net.converged_ or np.mean(net.predict(X) - T) == 0
    with pytest.raises(ValueError, match="`tol` must be a finite number >= 0"):
        QNewtonRegressor((2,), tol=-1e-4).fit(X, T)
