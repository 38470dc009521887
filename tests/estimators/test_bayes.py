"""Evidence and posterior in the estimators: what users set, get, and are told."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import linalg, stats
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, evidence_score


def wave(n=60, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, (n, 1))
    return X, np.sin(2 * X[:, 0]) + rng.normal(0, noise, n)


def classes(n=150, k=2, seed=0):
    """Samples of which a quarter lie on the wrong side."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    scores = X[:, :k] + rng.normal(0, 1.0, (n, k)) if k > 2 else X[:, :1] + rng.logistic(0, 1, (n, 1)) / 2
    return X, scores.argmax(1) if k > 2 else (scores[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def regressor():
    return QNewtonRegressor((8,), alpha="evidence", posterior="full", random_state=0).fit(*wave())


@pytest.fixture(scope="module")
def classifier():
    return QNewtonClassifier((8,), alpha="evidence", posterior="full", random_state=0).fit(*classes())


def test_linear_net_is_bayesian_ridge():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 5))
    y = X @ [1.0, -2.0, 0.5, 0.0, 0.0] + 3 + rng.normal(0, 0.7, 80)
    net = QNewtonRegressor((), alpha="evidence", max_iter=2000).fit(X, y)
    Q = linalg.null_space(np.ones((1, 80))).T
    flat = dict(alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, tol=1e-10, max_iter=1000)
    ridge = BayesianRidge(fit_intercept=False, compute_score=True, **flat).fit(Q @ X, Q @ y)
    np.testing.assert_allclose(net.coefs_[0][:, 0], ridge.coef_, rtol=1e-2, atol=2e-3)
    assert net.noise_std_ == pytest.approx(ridge.alpha_**-0.5, rel=1e-2)
    assert net.alpha_[0] == pytest.approx(ridge.lambda_ / ridge.alpha_, rel=0.05)
    assert net.log_evidence_ == pytest.approx(ridge.scores_[-1] - 0.5 * np.log(80), abs=0.01)
    assert net.effective_parameters_ == pytest.approx(
        1 + (1 - ridge.lambda_ * np.trace(ridge.sigma_) / 5) * 5, rel=0.01
    )


def test_fit_finds_the_noise_and_predicts_better_than_fixed_penalties():
    X, y = make_friedman1(250, noise=1.0, random_state=0)
    X = (X - 0.5) / 0.29
    Xt, yt = make_friedman1(1000, noise=0.0, random_state=1)
    Xt = (Xt - 0.5) / 0.29
    found = QNewtonRegressor(alpha="evidence", random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fixed = [QNewtonRegressor(alpha=alpha, random_state=0).fit(X, y) for alpha in (0.1, 1.0, 3.0)]
    assert found.score(Xt, yt) > max(0.9, *(net.score(Xt, yt) for net in fixed))
    assert 0.8 < found.noise_std_ < 1.25
    assert 10 < found.effective_parameters_ < 150


def test_irrelevant_inputs_are_penalised_more():
    X, y = make_friedman1(250, noise=0.5, random_state=0)
    model = QNewtonRegressor((8,), alpha="evidence_per_input", random_state=0).fit((X - 0.5) / 0.29, y)
    assert model.alpha_per_input_.shape == (10,)
    assert model.alpha_per_input_[5:].min() > 10 * model.alpha_per_input_[:5].max()
    assert model.alpha_[0] == pytest.approx(np.exp(np.log(model.alpha_per_input_).mean()))


def test_fitted_attributes(regressor, classifier):
    for model in (regressor, classifier):
        assert model.alpha_.shape == model.alpha_intercepts_.shape == (2,)
        assert (model.alpha_ > 0).all()
        assert model.alpha_intercepts_[-1] == 0
        assert np.isfinite(model.log_evidence_)
        n_params = sum(W.size + b.size for W, b in zip(model.coefs_, model.intercepts_))
        assert 1 < model.effective_parameters_ < n_params
        assert model.posterior_.added == 0
        assert model.stop_reason_ in ("evidence", "converged", "no_improvement")
        assert len(model.loss_curve_) == model.n_iter_ <= 4.2 * model.max_iter
        assert (model.history_["step"] == np.arange(1, model.n_steps_ + 1)).all()
    assert regressor.noise_std_ == pytest.approx(0.1, rel=0.3)
    assert not hasattr(classifier, "noise_std_")


def test_a_number_leaves_no_evidence():
    X, y = wave()
    model = QNewtonRegressor((3,), alpha=0.5, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.alpha_, [0.5, 0.5])
    assert model.log_evidence_ is model.effective_parameters_ is model.posterior_ is model.noise_std_ is None


def test_fit_is_reproducible_and_survives_pickle_and_clone(regressor):
    X, y = wave()
    again = clone(regressor).fit(X, y)
    loaded = pickle.loads(pickle.dumps(regressor))
    for other in (again, loaded):
        np.testing.assert_array_equal(
            other.predict(X, return_std=True)[1], regressor.predict(X, return_std=True)[1]
        )


@pytest.mark.parametrize("c", [1e-3, 1e4])
def test_fit_follows_the_units_of_the_targets(regressor, c):
    X, y = wave()
    scaled = clone(regressor).fit(X, c * y)
    assert scaled.noise_std_ == pytest.approx(c * regressor.noise_std_, rel=0.2)
    assert scaled.score(X, c * y) > 0.95


def test_integer_weights_are_repetitions():
    X, y = wave(30)
    counts = np.random.default_rng(1).integers(1, 3, 30)
    models = [
        QNewtonRegressor((4,), alpha="evidence", posterior="full", random_state=0).fit(*data)
        for data in ((X, y, counts), (X.repeat(counts, 0), y.repeat(counts)))
    ]
    assert models[0].log_evidence_ == models[1].log_evidence_
    np.testing.assert_array_equal(models[0].predict(X, True)[1], models[1].predict(X, True)[1])


def test_several_outputs_share_one_noise_level():
    X, y = wave(100)
    Y = np.c_[y, np.cos(X[:, 0]) + np.random.default_rng(2).normal(0, 0.1, 100)]
    model = QNewtonRegressor((10,), alpha="evidence", posterior="full", random_state=0).fit(X, Y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (100, 2)
    assert model.noise_std_ == pytest.approx(0.1, rel=0.3)
    assert model.sample_y(X[:7], 4).shape == (7, 2, 4)


def test_poisson_counts():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (200, 1))
    y = rng.poisson(np.exp(1 + np.sin(2 * X[:, 0])))
    model = QNewtonRegressor((6,), loss="poisson", alpha="evidence", posterior="full", random_state=0).fit(
        X, y
    )
    mean, std = model.predict(X, return_std=True)
    truth = np.exp(1 + np.sin(2 * X[:, 0]))
    assert np.abs(mean / truth - 1).mean() < 0.15
    np.testing.assert_allclose(std, np.sqrt(mean), rtol=0.3)
    assert model.noise_std_ is None
    assert (model.sample_y(X, 3) >= 0).all()


def test_pure_noise_is_predicted_by_its_mean():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4)), rng.normal(5, 2, 80)
    model = QNewtonRegressor(alpha="evidence", posterior="full", random_state=0).fit(X, y)
    assert model.score(rng.normal(size=(500, 4)), rng.normal(5, 2, 500)) > -0.1
    assert model.noise_std_ == pytest.approx(y.std(), rel=0.1)


@pytest.mark.parametrize("y", [np.full(20, 3.0), np.linspace(0, 1, 20)], ids=["constant", "exact line"])
def test_targets_without_noise_are_fitted(y):
    X = np.linspace(-1, 1, 20)[:, None]
    model = QNewtonRegressor((4,), alpha="evidence", posterior="full", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=0.02)
    assert np.isfinite(model.predict(X, return_std=True)[1]).all()


def test_bands_cover_new_points_and_widen_outside_the_data():
    inside, widening = [], []
    for seed in range(6):
        X, y = wave(60, 0.2, seed)
        model = QNewtonRegressor((8,), alpha="evidence", posterior="full", random_state=seed).fit(X, y)
        Xt, yt = wave(300, 0.2, 100 + seed)
        mean, std = model.predict(Xt, return_std=True)
        inside.append((np.abs(yt - mean) < stats.norm.ppf(0.95) * std).mean())
        in_data, outside = (model.predict([[x]], return_std="mean")[1][0] for x in (0.0, 6.0))
        widening.append(outside / in_data)
    assert min(widening) > 1 and np.median(widening) > 2
    assert 0.84 < np.mean(inside) < 0.96


def test_standard_deviation_of_the_mean_leaves_out_the_noise(regressor):
    X, _ = wave()
    total, of_mean = (regressor.predict(X, return_std=kind)[1] for kind in (True, "mean"))
    np.testing.assert_allclose(total**2, of_mean**2 + regressor.noise_std_**2)


def test_samples_have_the_predicted_moments(regressor):
    X, _ = wave(20)
    mean, std = regressor.predict(X, return_std=True)
    draws = regressor.sample_y(X, 4000, random_state=3)
    np.testing.assert_allclose(draws.mean(1), mean, atol=5 * std.max() / 60)
    np.testing.assert_allclose(draws.std(1), std, rtol=0.06)
    np.testing.assert_array_equal(draws[:, :1], regressor.sample_y(X, 4000, random_state=3)[:, :1])


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("posterior", [None, "full", "layer", "last_layer"])
def test_probabilities_are_consistent(k, posterior):
    X, y = classes(k=k)
    model = QNewtonClassifier((6,), alpha="evidence", posterior=posterior, random_state=0).fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_array_equal(model.predict(X), p.argmax(1))
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-6)
    scores = model.decision_function(X)
    assert ((scores > 0) == (p[:, 1] > 0.5)).all() if k == 2 else (scores.argmax(1) == p.argmax(1)).all()


def test_averaged_probabilities_are_less_certain(classifier):
    X, y = classes()
    plain = clone(classifier).set_params(posterior=None).fit(X, y)
    far = 4 * X
    assert (classifier.predict_proba(far).max(1) <= plain.predict_proba(far).max(1) + 1e-12).all()
    Xt, yt = classes(2000, seed=1)
    assert log_loss(yt, classifier.predict_proba(Xt)) < log_loss(yt, plain.predict_proba(Xt)) + 0.02


def test_multilabel_probabilities_are_averaged():
    X, y = classes()
    Y = np.c_[y, 1 - y, X[:, 1] > 0].astype(int)
    model = QNewtonClassifier((5,), alpha="evidence", posterior="full", random_state=0).fit(X, Y)
    assert model.predict_proba(X).shape == (150, 3)
    assert (model.predict(X) == Y).mean() > 0.7


def test_posterior_of_a_fit_with_a_number():
    X, y = wave()
    model = QNewtonRegressor((8,), alpha=0.01, posterior="full", random_state=0).fit(X, y)
    assert model.noise_std_ == pytest.approx(0.1, rel=0.3)
    assert 5 < model.effective_parameters_ < 25
    assert model.log_evidence_ is None


def test_unpenalised_net_says_what_was_added():
    X, y = wave()
    model = QNewtonRegressor((8,), alpha=0.0, posterior="full", random_state=0, max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.hstack([X, np.zeros_like(X)]), y)  # weights of an input that is zero are open
    assert model.posterior_.added > 0


def test_evidence_chooses_the_hidden_layers_in_a_grid_search():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = X[:, 0] + rng.normal(0, 0.5, 100)
    everything = [(np.arange(100), np.arange(100))]
    grid = {"hidden_layer_sizes": [(), (8,)]}
    model = QNewtonRegressor(alpha="evidence", random_state=0)
    search = GridSearchCV(model, grid, scoring=evidence_score, cv=everything).fit(X, y)
    assert search.best_params_ == {"hidden_layer_sizes": ()}
    assert search.best_score_ == pytest.approx(search.best_estimator_.log_evidence_)


def test_score_by_evidence_needs_evidence():
    with pytest.raises(ValueError, match='`alpha` must be "evidence"'):
        evidence_score(QNewtonRegressor((2,), random_state=0).fit(*wave()))


def test_warm_start_goes_on_from_the_penalties(regressor):
    X, y = wave()
    model = clone(regressor).set_params(warm_start=True, max_iter=100).fit(X, y)
    first, steps = model.log_evidence_, model.n_steps_
    model.fit(X, y)
    assert model.log_evidence_ > first - 2
    assert model.n_steps_ > steps


def test_hessian_holds_the_penalties_that_were_found(regressor):
    X, y = wave()
    H = regressor.hessian(X, y, curvature="gauss_newton")
    plain = clone(regressor).set_params(alpha=0.0, posterior=None, warm_start=True)
    vars(plain).update({k: v for k, v in vars(regressor).items() if k.endswith("_")})
    plain._penalties, plain._fit_settings = None, {**regressor._fit_settings, "alpha": 0.0}
    difference = (H - plain.hessian(X, y, curvature="gauss_newton")).diagonal() * len(X)
    np.testing.assert_allclose(difference[:8], regressor.alpha_[0], rtol=1e-6)
    np.testing.assert_allclose(difference[16:24], regressor.alpha_[1], rtol=1e-5)


def test_summary_of_the_hessian_holds_the_penalties_that_were_found(regressor):
    X, y = wave()
    model = clone(regressor).set_params(diagnostics=True).fit(X, y)
    eigenvalues = np.linalg.eigvalsh(model.hessian(X, y))
    assert model.hessian_summary_["largest_eigenvalue"] == pytest.approx(eigenvalues[-1], rel=1e-6)
    assert model.hessian_summary_["n_negative"] == (eigenvalues < 0).sum()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"alpha": "prior"}, '`alpha` must be a finite number >= 0, "auto", "evidence"'),
        ({"alpha": "evidence", "batch_size": 10}, '`batch_size` must be "auto" for alpha'),
        ({"alpha": "evidence", "early_stopping": True}, "`early_stopping` must be False for alpha"),
        ({"alpha": "evidence", "loss": "huber"}, "`loss` must be .* no other one is known"),
        ({"posterior": "full", "loss": "huber"}, "`loss` must be .* for posterior='full'"),
        ({"posterior": "kron"}, '`posterior` must be None, "full"'),
        ({"posterior": True}, '`posterior` must be None, "full"'),
        (
            {"posterior": "full", "hidden_layer_sizes": (30000, 30000)},
            "`(hidden_layer_sizes|posterior)` must",
        ),
    ],
)
def test_bad_settings_are_refused_before_any_work(settings, message):
    model = QNewtonRegressor(**{"hidden_layer_sizes": (3,), **settings})
    with pytest.raises(ValueError, match=message):
        model.fit(*wave())
    assert not hasattr(model, "coefs_")


def test_memory_is_checked_before_the_fit(monkeypatch):
    monkeypatch.setattr("qnewton_sk.estimators.bayes.available_memory_bytes", lambda: 2**20)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5000, 20)), rng.normal(size=5000)
    for name, value in (("posterior", "full"), ("alpha", "evidence")):
        with pytest.raises(ValueError, match=f"`{name}` must fit into memory; got {name}='{value}'"):
            QNewtonRegressor((300,), **{name: value}).fit(X, y)


def test_partial_fit_takes_numbers_alone():
    with pytest.raises(ValueError, match='`alpha` must be a number or "auto" for partial_fit'):
        QNewtonRegressor((3,), alpha="evidence").partial_fit(*wave())


def test_uncertainty_without_a_posterior_says_which_setting_leaves_one():
    X, y = wave()
    model = QNewtonRegressor((2,), random_state=0).fit(X, y)
    for ask in (lambda: model.predict(X, return_std=True), lambda: model.sample_y(X)):
        with pytest.raises(ValueError, match="`posterior` must be one of"):
            ask()
    with pytest.raises(ValueError, match="`return_std` must be"):
        model.predict(X, return_std="total")


def test_a_search_that_is_cut_short_keeps_its_best_and_warns():
    X, y = wave()
    short = QNewtonRegressor((8,), alpha="evidence", random_state=0, max_iter=20)
    with pytest.warns(ConvergenceWarning, match="Raise `max_iter`"):
        short.fit(X, y)
    assert short.n_iter_ <= 82
    assert np.isfinite(short.log_evidence_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_that_could_not_compute_its_posterior_says_so():
    X = 1e5 * np.random.default_rng(0).standard_normal((2, 2))
    model = QNewtonRegressor((), posterior="last_layer", loss="poisson", random_state=0, max_iter=1)
    model.fit(X, [1.0, 2.0])
    model.posterior_ = None  # as a fit that fails leaves it
    with pytest.raises(ValueError, match="return_std=True needs a posterior.*could not compute one.*Scale X"):
        model.predict(X, return_std=True)
    with pytest.raises(ValueError, match="sample_y needs a posterior"):
        model.sample_y(X)
