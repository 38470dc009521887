"""The penalties of alpha="auto": how they follow from the scales of the data, and where they are used."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk import QNewtonClassifier, QNewtonRegressor
from qnewton_sk.nets import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def standardised(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = np.tanh(X[:, 0]) + 0.3 * rng.standard_normal(n)
    return X, (y - y.mean()) / y.std()


X, Y = standardised()
LABELS = (Y > 0).astype(int)


def regressor(**settings):
    return QNewtonRegressor((4, 4), random_state=0, max_iter=3, **settings)


def classifier(**settings):
    return QNewtonClassifier((4, 4), random_state=0, max_iter=3, **settings)


def test_on_standardised_data_all_layers_have_the_same():
    automatic, number = regressor().fit(X, Y), regressor(alpha=3.0).fit(X, Y)
    np.testing.assert_array_equal(automatic.alpha_, [3.0, 3.0, 3.0])
    for one, other in zip(automatic.coefs_, number.coefs_):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(classifier().fit(X, LABELS).alpha_, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(regressor(loss="huber").fit(X, Y).alpha_, [1.0, 1.0, 1.0])
    counts = np.random.default_rng(0).poisson(2.0, 200)
    np.testing.assert_array_equal(regressor(loss="poisson").fit(X, counts).alpha_, [1.0, 1.0, 1.0])


def test_they_fall_with_the_variances_of_inputs_and_targets_and_do_not_rise():
    np.testing.assert_allclose(regressor().fit(X / 2, Y).alpha_, [0.75, 3.0, 3.0])
    np.testing.assert_allclose(regressor().fit(X, Y / 10 + 5).alpha_, [0.03, 0.03, 3.0])
    np.testing.assert_allclose(regressor().fit(X / 2, Y / 10).alpha_, [0.0075, 0.03, 3.0])
    np.testing.assert_allclose(regressor().fit(100 * X + 7, 100 * Y).alpha_, [3.0, 3.0, 3.0])
    np.testing.assert_allclose(classifier().fit(X / 2, LABELS).alpha_, [0.25, 1.0, 1.0])
    np.testing.assert_allclose(regressor().fit(X, np.ones(200)).alpha_, [0.0, 0.0, 3.0])
    np.testing.assert_allclose(regressor(loss="huber").fit(X, Y / 10).alpha_, [0.01, 0.01, 1.0])


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_few_samples_have_less(loss):
    small, targets = standardised(40)
    full = 3.0 if loss == "squared_error" else 1.0
    np.testing.assert_allclose(regressor(loss=loss).fit(small, targets).alpha_, np.full(3, 0.4 * full))


@pytest.mark.parametrize("weight", [None, np.linspace(0.5, 2.0, 200)], ids=["unweighted", "weighted"])
def test_a_step_on_a_batch_has_its_share(weight):
    model = regressor(batch_size=20).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(model.alpha_, [3.0, 3.0, 3.0], rtol=0.05)  # weighted variances differ from one
    objective = model._objective(model._fitted_network(), model._read(X, Y, weight, reset=False))
    np.testing.assert_allclose(objective.batch(np.arange(30)).penalties, objective.penalties)
    number = objective.with_alpha(0.5)
    number.shares_penalty = False
    assert number.batch(np.arange(30)).alpha == 0.5


def test_posterior_and_hessian_of_a_fit_in_batches_have_the_penalty_of_all_the_data():
    settings = dict(batch_size=50, posterior="full")
    automatic, number = (regressor(alpha=alpha, **settings).fit(X, Y) for alpha in ("auto", 3.0))
    number.coefs_, number.intercepts_ = automatic.coefs_, automatic.intercepts_
    np.testing.assert_allclose(automatic.hessian(X, Y), number.hessian(X, Y))
    assert automatic.posterior_ is not None


def test_the_scale_of_weights_that_are_no_repetitions_does_not_matter():
    plain = classifier().fit(X, LABELS)
    for size in (1 / 200, 1e-6):
        weighted = classifier().fit(X, LABELS, sample_weight=np.full(200, size))
        np.testing.assert_allclose(weighted.alpha_, plain.alpha_ * size, rtol=1e-2)
        for one, other in zip(weighted.coefs_, plain.coefs_):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_weights_are_repetitions():
    counts = np.random.default_rng(1).integers(0, 4, 200)
    weighted = regressor().fit(X / 3, Y / 3, sample_weight=counts.astype(float))
    repeated = regressor().fit(np.repeat(X / 3, counts, axis=0), np.repeat(Y / 3, counts))
    np.testing.assert_array_equal(weighted.alpha_, repeated.alpha_)
    for one, other in zip(weighted.coefs_, repeated.coefs_):
        np.testing.assert_array_equal(one, other)


def test_sparse_inputs_have_those_of_dense_ones():
    thin = np.where(np.abs(X) > 1, X, 0.0)
    np.testing.assert_array_equal(
        regressor().fit(sparse.csr_array(thin), Y).alpha_, regressor().fit(thin, Y).alpha_
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [1.0, 1e6, 2e7])
def test_variances_of_sparse_inputs_do_not_cancel(dtype, constant):
    thin = np.where(np.abs(X) > 1, X, 0.0)
    thin = np.column_stack([thin, np.full(200, constant)]).astype(dtype)
    network = regressor().fit(thin, Y)._fitted_network()
    targets = Y[:, None].astype(dtype)
    kept, dense = (
        Objective(network, data, targets, chunk_bytes=1, input_bytes=0)
        for data in (sparse.csr_array(thin), thin)
    )
    assert sparse.issparse(kept.X)
    np.testing.assert_allclose(kept.variances(), dense.variances(), rtol=1e-6)
    np.testing.assert_allclose(dense.variances()[0], thin.astype(float).var(axis=0).mean(), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_numbers_of_any_size_give_finite_penalties(size):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        alpha = regressor().fit(size * X, Y).alpha_
    assert np.isfinite(alpha).all() and (alpha >= 0).all() and alpha[-1] == 3.0


def test_a_penalty_that_single_precision_cannot_hold_is_none():
    assert regressor().fit((1e-23 * X).astype(np.float32), Y).alpha_.tolist() == [0.0, 3.0, 3.0]


def test_the_hessian_holds_the_penalties_of_the_fit_whatever_data_it_is_asked_for():
    model = regressor().fit(X / 2, Y / 2)
    without = regressor(alpha=0.0).fit(X / 2, Y / 2)
    without.coefs_, without.intercepts_ = model.coefs_, model.intercepts_
    rows = slice(0, 50)
    difference = model.hessian(X[rows], Y[rows]) - without.hessian(X[rows], Y[rows])
    each = [np.r_[np.full(W.size, a), np.zeros(W.shape[1])] for W, a in zip(model.coefs_, model.alpha_)]
    np.testing.assert_allclose(difference, np.diag(np.concatenate(each)) / 50, atol=1e-12)


def test_the_posterior_has_them_as_its_prior():
    settings = dict(hidden_layer_sizes=(4, 4), random_state=0, posterior="full")
    automatic, number = (QNewtonRegressor(alpha=alpha, **settings).fit(X, Y) for alpha in ("auto", 3.0))
    for one, other in zip(automatic.predict(X, return_std=True), number.predict(X, return_std=True)):
        np.testing.assert_array_equal(one, other)


def test_a_handful_of_samples_is_told_apart():
    corners, labels = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    assert QNewtonClassifier(random_state=0).fit(corners, labels).score(corners, labels) == 1.0


def test_targets_of_any_unit_are_fitted():
    for unit in (0.01, 0.1, 1.0, 100.0):
        for loss in ("squared_error", "huber"):
            model = QNewtonRegressor(loss=loss, tol=1e-4 * unit, random_state=0).fit(X, unit * Y)
            assert unit == 100 and loss == "huber" or model.score(X, unit * Y) > 0.7
