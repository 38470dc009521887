"""The estimators: start and objective of MLP*, targets of every kind, weights, stopping, records."""

import warnings

import autograd.numpy as anp
import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
    make_classification,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler, scale

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, Scheduler, classical_backends
from qnewton_sk.data.duplicates import distinct_samples
from qnewton_sk.optimize.newton import Newton, _Epochs
from qnewton_sk.optimize.records import COLUMNS, Progress

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS_X, IRIS_Y = load_iris(return_X_y=True)
IRIS_X = scale(IRIS_X)
BINARY_X, BINARY_Y = make_classification(80, 5, flip_y=0.2, random_state=0)
LABELS_X, LABELS_Y = make_multilabel_classification(60, 5, n_classes=3, random_state=0)
LABELS_X = scale(LABELS_X)
REG_X, REG_Y = make_regression(60, 4, n_targets=1, noise=5.0, random_state=0)
REG_Y = REG_Y / REG_Y.std()
TWO_Y = np.column_stack([REG_Y, REG_X[:, 0] ** 2])


NEWTON = {"curvature": "gauss_newton", "max_iter": 30, "alpha": 0.1, "random_state": 0}  # every step a solve


def classifier(*args, **settings):
    return QNewtonClassifier(*(args or ((5,),)), **NEWTON | settings)


def regressor(*args, **settings):
    return QNewtonRegressor(*(args or ((5,),)), **NEWTON | settings)


def same_fit(a, b, rtol=1e-7):
    for one, other in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-12)


# -- start and objective are those of scikit-learn -----------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu"])
@pytest.mark.parametrize(
    "ours, theirs, X, y",
    [
        (QNewtonClassifier, MLPClassifier, IRIS_X, IRIS_Y),
        (QNewtonClassifier, MLPClassifier, BINARY_X, BINARY_Y),
        (QNewtonClassifier, MLPClassifier, LABELS_X, LABELS_Y),
        (QNewtonRegressor, MLPRegressor, REG_X, TWO_Y),
    ],
)
def test_the_start_is_that_of_mlp(monkeypatch, ours, theirs, activation, X, y):
    def stop_at_once(self, objective, theta, random_state, *args, **kwargs):
        yield Progress(theta, objective.value(theta), 1, (), "max_iter")

    monkeypatch.setattr(Newton, "run", stop_at_once)
    settings = dict(hidden_layer_sizes=(6, 4), activation=activation, alpha=1e-4, random_state=3)
    model = ours(**settings).fit(X, y)
    reference = theirs(
        **settings, solver="sgd", learning_rate_init=1e-300, max_iter=1, batch_size=len(X)
    ).fit(X, y)
    same_fit(model, reference, rtol=1e-13)
    assert model.loss_ == pytest.approx(reference.loss_, rel=1e-12)
    assert model.out_activation_ == reference.out_activation_
    assert (model.n_layers_, model.n_outputs_) == (reference.n_layers_, reference.n_outputs_)


@pytest.mark.parametrize("X, y", [(IRIS_X, IRIS_Y), (BINARY_X, BINARY_Y), (LABELS_X, LABELS_Y)])
def test_a_linear_classifier_reaches_the_optimum_of_mlp(X, y):
    model = classifier((), alpha=1.0, max_iter=200, tol=1e-10).fit(X, y)
    reference = MLPClassifier((), alpha=1.0, solver="lbfgs", max_iter=5000, tol=1e-10, random_state=0).fit(
        X, y
    )
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-4)
    assert model.loss_ <= reference.loss_ + 1e-12


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_linear_regressor_reaches_the_normal_equations(alpha):
    model = regressor((), alpha=alpha, max_iter=200, tol=1e-10).fit(REG_X, REG_Y)
    centred = REG_X - REG_X.mean(axis=0)
    w = np.linalg.solve(centred.T @ centred + alpha * np.eye(4), centred.T @ REG_Y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], w, rtol=1e-6)


# -- targets -------------------------------------------------------------------------------------------------


def test_binary_targets_of_any_type():
    numbers = classifier().fit(BINARY_X, BINARY_Y)
    words = np.array(["no", "yes"], dtype=object)
    names = classifier().fit(BINARY_X, words[BINARY_Y])
    assert np.array_equal(names.predict(BINARY_X), words[numbers.predict(BINARY_X)])
    assert names.classes_.tolist() == ["no", "yes"]
    assert numbers.decision_function(BINARY_X).shape == (80,)


@pytest.mark.parametrize("X, y", [(IRIS_X, IRIS_Y), (BINARY_X, BINARY_Y), (LABELS_X, LABELS_Y)])
def test_the_ways_to_predict_agree(X, y):
    model = classifier().fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), p, rtol=1e-10)
    if y.ndim == 2:
        assert np.array_equal(model.predict(X), (p > 0.5).astype(int))
        np.testing.assert_allclose(model.decision_function(X), np.log(p / (1 - p)), atol=1e-6)
    else:
        np.testing.assert_allclose(p.sum(axis=1), 1)
        assert np.array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])
    assert model.score(X, y) == accuracy_score(y, model.predict(X)) > 0.5


def test_log_probabilities_stay_finite_far_out():
    model = classifier((), alpha=0.01).fit(BINARY_X, BINARY_Y)
    far = 1e4 * BINARY_X
    assert np.isfinite(model.predict_log_proba(far)).all()
    assert model.predict_log_proba(far).min() < -1000


def test_sparse_multilabel_targets():
    same_fit(classifier().fit(LABELS_X, LABELS_Y), classifier().fit(LABELS_X, sparse.csr_array(LABELS_Y)))


def test_label_binarizer_for_converters():
    assert classifier().fit(LABELS_X, LABELS_Y)._label_binarizer.y_type_ == "multilabel-indicator"
    assert classifier().fit(IRIS_X, IRIS_Y)._label_binarizer.y_type_ == "multiclass"
    assert classifier().fit(BINARY_X, BINARY_Y)._label_binarizer.y_type_ == "binary"


def test_several_outputs():
    model = regressor().fit(REG_X, TWO_Y)
    assert model.predict(REG_X).shape == TWO_Y.shape
    assert model.score(REG_X, TWO_Y) > 0.8
    assert regressor().fit(REG_X, REG_Y).predict(REG_X).shape == REG_Y.shape


@pytest.mark.parametrize(
    "loss", ["squared_error", "poisson", "huber", lambda y, z: anp.sum(anp.log(anp.cosh(z - y)), axis=1)]
)
def test_every_loss_fits(loss):
    y = np.exp(REG_Y / 2)
    model = regressor(loss=loss).fit(REG_X, y)
    assert model.score(REG_X, y) > 0.8
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    if loss == "poisson":
        assert model.out_activation_ == "exp"
        assert model.predict(REG_X).min() > 0


def test_own_activations_layer_by_layer():
    def own(z):
        return z / anp.sqrt(1 + z * z)

    model = classifier((4, 4), activation=("tanh", own)).fit(IRIS_X, IRIS_Y)
    assert model.score(IRIS_X, IRIS_Y) > 0.9


def test_own_tanh_is_tanh():
    same_fit(
        classifier(activation=anp.tanh).fit(IRIS_X, IRIS_Y),
        classifier(activation="tanh").fit(IRIS_X, IRIS_Y),
        1e-5,
    )


# -- inputs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
def test_sparse_inputs(container):
    X = np.where(abs(IRIS_X) > 0.7, IRIS_X, 0.0)
    dense, model = classifier().fit(X, IRIS_Y), classifier().fit(container(X), IRIS_Y)
    np.testing.assert_allclose(model.predict_proba(container(X)), dense.predict_proba(X), atol=1e-5)


def test_float32_stays():
    model = classifier().fit(IRIS_X.astype(np.float32), IRIS_Y)
    assert {a.dtype for a in model.coefs_ + model.intercepts_} == {np.dtype(np.float32)}
    assert model.predict_proba(IRIS_X.astype(np.float32)).dtype == np.float32
    assert model.score(IRIS_X, IRIS_Y) > 0.95


def test_threads_predict_the_same():
    X = np.random.default_rng(0).standard_normal((9000, 4))
    model = classifier().fit(IRIS_X, IRIS_Y)
    one = model.decision_function(X)
    np.testing.assert_allclose(model.set_params(n_jobs=2).decision_function(X), one, rtol=1e-12)


def test_prediction_in_pieces(monkeypatch):
    model = classifier().fit(IRIS_X, IRIS_Y)
    whole = model.decision_function(IRIS_X)
    monkeypatch.setattr("qnewton_sk.estimators.base.CHUNK_BYTES", 1000)
    np.testing.assert_allclose(model.decision_function(IRIS_X), whole, rtol=1e-12)


def test_not_fitted_even_after_a_failed_fit():
    model = classifier()
    with pytest.raises(ValueError, match="y_val"):
        model.fit(IRIS_X, IRIS_Y, X_val=IRIS_X)
    with pytest.raises(NotFittedError):
        model.predict(IRIS_X)


# -- weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, X, y", [(classifier, IRIS_X, IRIS_Y), (regressor, REG_X, TWO_Y), (classifier, LABELS_X, LABELS_Y)]
)
def test_a_weight_is_a_repetition_to_the_last_bit(make, X, y):
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = np.random.default_rng(1).permutation(np.repeat(np.arange(len(X)), weight))
    a = make().fit(X, y, sample_weight=weight)
    b = make().fit(X[repeated], y[repeated])
    for one, other in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_):
        assert np.array_equal(one, other)


def test_weights_of_one_change_nothing():
    a, b = classifier().fit(IRIS_X, IRIS_Y), classifier().fit(IRIS_X, IRIS_Y, sample_weight=np.ones(150))
    same_fit(a, b, rtol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_distinct_samples_merges_what_is_equal_in_inputs_and_targets(container):
    X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    y = np.array([[0.0], [1.0], [0.0], [1.0], [1.0]])
    X, y, weight = distinct_samples(container(X), y, np.array([1.0, 2.0, 3.0, 4.0, 0.0]))
    X = X if isinstance(X, np.ndarray) else X.toarray()
    rows = {(*x, *t): w for x, t, w in zip(X.tolist(), y.tolist(), weight.tolist())}
    assert rows == {(1.0, 0.0, 0.0): 4.0, (0.0, 2.0, 1.0): 2.0, (1.0, 0.0, 1.0): 4.0}


def test_different_samples_pass_untouched():
    X, y, weight = distinct_samples(REG_X, TWO_Y, np.ones(60))
    assert X is REG_X and y is TWO_Y and weight is None


@pytest.mark.parametrize("X, y", [(IRIS_X[:120], IRIS_Y[:120]), (BINARY_X[10:], BINARY_Y[10:])])
def test_class_weight_is_sample_weight(X, y):
    weights = {label: 1.0 + label for label in np.unique(y).tolist()}
    by_class = classifier(class_weight=weights).fit(X, y)
    same_fit(by_class, classifier().fit(X, y, sample_weight=1.0 + y))
    counts = np.bincount(y)
    balanced = classifier(class_weight="balanced").fit(X, y)
    same_fit(balanced, classifier().fit(X, y, sample_weight=(len(y) / (len(counts) * counts))[y]))


def test_class_weight_multiplies_sample_weight():
    s = np.random.default_rng(0).integers(1, 3, 80)
    a = classifier(class_weight="balanced").fit(BINARY_X, BINARY_Y, sample_weight=s)
    b = classifier(class_weight="balanced").fit(np.repeat(BINARY_X, s, axis=0), np.repeat(BINARY_Y, s))
    same_fit(a, b)


def test_class_weight_is_refused_for_multilabel_targets():
    with pytest.raises(ValueError, match="`class_weight` must be None for multilabel targets"):
        classifier(class_weight="balanced").fit(LABELS_X, LABELS_Y)


def test_a_class_of_weight_zero_keeps_its_place():
    model = classifier().fit(IRIS_X, IRIS_Y, sample_weight=(IRIS_Y != 1).astype(float))
    assert model.classes_.tolist() == [0, 1, 2]
    assert 1 not in model.predict(IRIS_X)


# -- stopping ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, X, y",
    [(classifier, BINARY_X, BINARY_Y), (regressor, REG_X, TWO_Y), (classifier, LABELS_X, LABELS_Y)],
)
def test_early_stopping_keeps_the_best_model(make, X, y):
    model = make(
        (20,), alpha=0.0, early_stopping=True, n_iter_no_change=3, max_iter=60, validation_fraction=0.25
    )
    model.fit(X, y)
    assert (
        len(model.validation_scores_)
        == len(model.validation_loss_curve_)
        == model.n_iter_
        == len(model.loss_curve_)
    )
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    if model.stop_reason_ == "early_stopping":
        assert max(model.validation_scores_[-4:]) <= model.best_validation_score_


@pytest.mark.parametrize(
    "make, y, score", [(classifier, BINARY_Y, accuracy_score), (regressor, BINARY_X[:, :2] ** 2, r2_score)]
)
def test_own_validation_set(make, y, score):
    train, held_out = slice(0, 50), slice(50, None)
    model = make((20,), alpha=0.0, early_stopping=True, n_iter_no_change=3, max_iter=60)
    model.fit(BINARY_X[train], y[train], X_val=BINARY_X[held_out], y_val=y[held_out])
    prediction = model.predict(BINARY_X[held_out])
    assert model.best_validation_score_ == pytest.approx(score(y[held_out], prediction), rel=1e-9)
    assert model.stop_reason_ in ("early_stopping", "max_iter")


def test_a_watched_validation_set_stops_nothing():
    watched = classifier().fit(IRIS_X, IRIS_Y, X_val=IRIS_X[:50], y_val=IRIS_Y[:50])
    same_fit(watched, classifier().fit(IRIS_X, IRIS_Y))
    assert len(watched.validation_scores_) == watched.n_iter_
    assert watched.validation_scores_[-1] == watched.score(IRIS_X[:50], IRIS_Y[:50])
    assert watched.best_loss_ == min(watched.loss_curve_)


def test_without_validation_there_are_no_scores():
    model = classifier().fit(IRIS_X, IRIS_Y)
    assert model.validation_scores_ is model.validation_loss_curve_ is model.best_validation_score_ is None


def test_too_few_epochs_warn_with_a_remedy():
    with pytest.warns(ConvergenceWarning, match="QNewtonClassifier has not converged: .*Raise `max_iter`"):
        model = classifier(max_iter=1).fit(IRIS_X, IRIS_Y)
    assert (model.converged_, model.stop_reason_, model.n_iter_) == (False, "max_iter", 1)


def test_convergence_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = classifier((), alpha=1.0, max_iter=200).fit(IRIS_X, IRIS_Y)
    assert model.converged_
    assert model.stop_reason_ in ("converged", "no_improvement")


def test_ctrl_c_keeps_the_last_epoch(monkeypatch):
    real, seen = Newton.run, []

    def interrupted(self, *args, **kwargs):
        for progress in real(self, *args, **kwargs):
            if progress.epoch == 4:
                raise KeyboardInterrupt
            seen.append(progress)
            yield progress

    monkeypatch.setattr(Newton, "run", interrupted)
    with pytest.warns(UserWarning, match="interrupted; the model of step 3"):
        model = classifier(max_iter=20).fit(IRIS_X, IRIS_Y)
    assert (model.stop_reason_, model.n_iter_, model.n_steps_) == ("interrupted", 3, 3)
    kept, _ = model._network(4, 3).unpack(seen[-1].theta)
    assert all(np.array_equal(a, b) for a, b in zip(model.coefs_, kept))
    assert model.loss_ == seen[-1].loss


def test_ctrl_c_inside_an_epoch_keeps_the_last_mini_batch_step(monkeypatch):
    real, seen = _Epochs._take, []

    def interrupted(self, objective, state):
        if len(seen) == 5:
            raise KeyboardInterrupt
        result = real(self, objective, state)
        seen.append(result[0].theta.copy())
        return result

    monkeypatch.setattr(_Epochs, "_take", interrupted)
    with pytest.warns(UserWarning, match="interrupted; the model of step 5"):
        model = classifier(batch_size=50, max_iter=20).fit(IRIS_X, IRIS_Y)
    assert (model.stop_reason_, model.n_iter_, model.n_steps_) == ("interrupted", 2, 5)
    assert not np.array_equal(seen[-1], seen[2])  # the second epoch had moved on from the end of the first
    kept, _ = model._network(4, 3).unpack(seen[-1])
    assert all(np.array_equal(a, b) for a, b in zip(model.coefs_, kept))


def test_ctrl_c_before_the_first_epoch_leaves_the_start(monkeypatch):
    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Newton, "run", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        model = classifier().fit(IRIS_X, IRIS_Y)
    assert model.predict(IRIS_X).shape == (150,)
    assert set(model.history_) == set(COLUMNS)
    assert np.isfinite(model.loss_)


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_a_default_fit_does_not_take_the_plateau_of_two_spirals_for_a_minimum(seed):
    radius = np.linspace(0.25, 1, 100)
    turn = 3.6 * np.pi * radius
    arm = radius[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    X, y = np.vstack([arm, -arm]), np.repeat([0, 1], 100)
    model = QNewtonClassifier(alpha=1e-5, max_iter=500, n_iter_no_change=np.inf, random_state=seed).fit(X, y)
    assert model.loss_ < 0.1  # the plateau is at 0.65


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_a_net_that_inputs_have_saturated_has_not_converged(load):
    X, y = load(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="saturated.*StandardScaler"):
        model = QNewtonClassifier(alpha=1e-4, random_state=0).fit(X, y)
    assert (model.stop_reason_, model.converged_) == ("saturated", False)
    assert len(set(model.predict(X))) == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_a_small_learning_rate_goes_on_instead_of_stalling(rate):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = QNewtonRegressor(random_state=0, learning_rate_init=rate, max_iter=30).fit(X, y)
    assert (model.stop_reason_, model.n_iter_) == ("max_iter", 30)
    assert model.loss_ < 0.8 * model.loss_curve_[0]


def test_warnings_point_to_the_line_that_calls_fit():
    with pytest.warns(ConvergenceWarning) as record:
        classifier(max_iter=1, tol=0.0).fit(IRIS_X, IRIS_Y)
    assert record[0].filename == __file__


def test_divergence_keeps_the_last_good_model():
    settings = dict(
        step_control="fixed", learning_rate_init=1e6, curvature="hessian", regularization=1e-12, alpha=0.0
    )
    with pytest.warns(ConvergenceWarning, match="step .*last good model is kept"):
        model = regressor((8, 8), activation="softplus", **settings).fit(1e3 * REG_X, 1e3 * REG_Y)
    assert np.isfinite(model.predict(REG_X)).all()
    assert np.isfinite(model.loss_)


# -- continuation --------------------------------------------------------------------------------------------


def test_warm_start_goes_on_where_it_was():
    model = classifier(max_iter=3, warm_start=True, regularization=1.0).fit(IRIS_X, IRIS_Y)
    before, damping = model.loss_, model.history_["damping"]
    model.fit(IRIS_X, IRIS_Y)
    assert model.loss_ < before
    assert model.history_["damping"][3] < damping[-1] < 1
    assert len(model.loss_curve_) == 6 and model.n_iter_ == 3 and model.n_steps_ == 6
    assert model.history_["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert model.t_ == 6 * 150


def test_cold_start_forgets():
    model = classifier(max_iter=3).fit(IRIS_X, IRIS_Y)
    first = model.loss_curve_
    assert model.fit(IRIS_X, IRIS_Y).loss_curve_ == first


def test_warm_start_with_another_net_is_refused():
    model = classifier(warm_start=True).fit(IRIS_X, IRIS_Y)
    with pytest.raises(
        ValueError, match=r"`hidden_layer_sizes` and y must give.*\(4, 5, 3\); got \(4, 6, 3\)"
    ):
        model.set_params(hidden_layer_sizes=(6,)).fit(IRIS_X, IRIS_Y)
    with pytest.raises(ValueError, match="`y` has the same classes as in the previous call"):
        model.set_params(hidden_layer_sizes=(5,)).fit(IRIS_X, IRIS_Y + 1)


def test_partial_fit_learns_batch_by_batch():
    model = classifier(alpha=0.01)
    for epoch in range(5):
        for rows in np.array_split(np.random.default_rng(epoch).permutation(150), 3):
            model.partial_fit(IRIS_X[rows], IRIS_Y[rows], classes=[0, 1, 2], X_val=IRIS_X, y_val=IRIS_Y)
    assert model.score(IRIS_X, IRIS_Y) > 0.9
    assert len(model.loss_curve_) == len(model.validation_scores_) == model.n_steps_ >= 15
    assert model.history_["accepted"].sum() == 15
    assert model.stop_reason_ == "one_pass"
    assert model.validation_scores_[-1] == model.score(IRIS_X, IRIS_Y)


def test_partial_fit_of_other_targets():
    for model, X, y in [(regressor(), REG_X, TWO_Y), (classifier(), LABELS_X, LABELS_Y)]:
        first = model.partial_fit(X, y).loss_
        assert model.partial_fit(X, y).loss_ < first


def test_partial_fit_goes_through_the_first_order_phase_once():
    model = regressor(first_order_steps=2)
    for _ in range(4):
        model.partial_fit(REG_X, REG_Y)
    assert model.history_["phase"].tolist() == ["first_order"] * 2 + ["newton"] * (model.n_steps_ - 2)
    assert model.n_steps_ >= 4


@pytest.mark.parametrize(
    "settings, arguments, message",
    [
        ({}, {}, "`classes` must be passed on the first call"),
        ({"early_stopping": True}, {"classes": [0, 1, 2]}, "`early_stopping` must be False for partial_fit"),
        ({"class_weight": "balanced"}, {"classes": [0, 1, 2]}, "`class_weight` must be None or a dict"),
        ({}, {"classes": [0, 1]}, "`y` must hold only classes"),
    ],
)
def test_partial_fit_refuses(settings, arguments, message):
    with pytest.raises(ValueError, match=message):
        classifier(**settings).partial_fit(IRIS_X, IRIS_Y, **arguments)


def test_partial_fit_keeps_its_classes():
    model = classifier().partial_fit(IRIS_X, IRIS_Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="`classes` must be those of the first call"):
        model.partial_fit(IRIS_X, IRIS_Y, classes=[0, 1, 2, 3])


# -- records -------------------------------------------------------------------------------------------------


def test_history_has_one_row_a_step():
    model = classifier(batch_size=50, max_iter=4, first_order_steps=3).fit(IRIS_X, IRIS_Y)
    assert tuple(model.history_) == COLUMNS
    assert {len(column) for column in model.history_.values()} == {model.n_steps_} == {12}
    assert model.history_["phase"].tolist() == ["first_order"] * 3 + ["newton"] * 9
    assert len(model.schedule_) == 9
    assert model.condition_number_ == model.history_["condition_number"][-1]
    assert (
        model.oracle_sparsity_ <= model.history_["oracle_sparsity"][-1]
    )  # measured on rows if there were no entries
    assert model.n_iter_ == 4 and model.t_ == 600


def test_the_scheduler_decides_by_hardware():
    fits = {
        name: classifier(scheduler=Scheduler(hardware=name), max_iter=3).fit(IRIS_X, IRIS_Y)
        for name in ("ibm_sherbrooke", "attosecond")
    }
    assert "qlsa" not in fits["ibm_sherbrooke"].schedule_
    assert set(fits["attosecond"].schedule_) == {"qlsa"}


def test_nothing_of_the_size_of_the_matrix_stays():
    model = classifier((30, 30), max_iter=5).fit(IRIS_X, IRIS_Y)
    arrays = [a for value in vars(model).values() for a in (value if isinstance(value, list) else [value])]
    assert max(a.size for a in arrays if isinstance(a, np.ndarray)) == 900


def test_fitted_state_is_plain():
    model = classifier(early_stopping=True).fit(IRIS_X, IRIS_Y)
    plain = (np.ndarray, bool, int, float, str, list, dict, type(None))
    for name, value in vars(model).items():
        if name.endswith("_"):
            assert isinstance(value, plain), name


@pytest.mark.parametrize("verbose", [True, 1])
def test_verbose_prints_a_narrow_line_per_step(capsys, verbose):
    model = classifier(verbose=verbose, max_iter=3, first_order_steps=1).fit(IRIS_X, IRIS_Y)
    head, *lines = capsys.readouterr().out.rstrip("\n").split("\n")
    names = ["step", "phase", "loss", "gradient", "kappa", "backend", "classical_s", "quantum_s"]
    assert head.split() == names
    assert [line.split()[1] for line in lines] == ["first_order", "newton", "newton"]
    assert float(lines[-1].split()[2]) == pytest.approx(model.loss_, rel=1e-4)
    assert lines[0].split()[4:] == ["-"] * 4
    assert {len(line) for line in (head, *lines)} == {len(head)} and len(head) <= 100


def test_verbose_two_prints_every_column_of_the_history(capsys):
    model = classifier(verbose=2, max_iter=3, first_order_steps=1).fit(IRIS_X, IRIS_Y)
    head, *lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert head.split() == list(model.history_)
    assert {len(line) for line in (head, *lines)} == {len(head)}
    printed = dict(zip(head.split(), lines[-1].split()))
    assert printed["accepted"] == str(model.history_["accepted"][-1])
    assert printed["backend"] == model.schedule_[-1]
    assert float(printed["loss"]) == pytest.approx(model.history_["loss"][-1], rel=1e-7)


def test_a_long_name_of_a_backend_is_cut_in_the_narrow_table(capsys):
    backend = classical_backends()[0].set_params(name="a_solver_with_a_very_long_name")
    classifier(verbose=1, max_iter=2, scheduler=Scheduler([backend])).fit(IRIS_X, IRIS_Y)
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert lines[1].split()[5] == "a_solver_with_a_ve.."
    assert len({len(line) for line in lines}) == 1


def test_without_verbose_nothing_is_printed(capsys):
    classifier(max_iter=3).fit(IRIS_X, IRIS_Y)
    assert capsys.readouterr().out == ""


# -- hessian -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, X, y, settings",
    [
        (classifier, IRIS_X, IRIS_Y, {}),
        (classifier, IRIS_X, IRIS_Y, {"class_weight": {0: 1.0, 1: 2.0, 2: 3.0}}),
        (classifier, LABELS_X, LABELS_Y, {}),
        (regressor, REG_X, TWO_Y, {"loss": "huber"}),
    ],
)
def test_hessian_is_the_derivative_of_the_training_gradient(make, X, y, settings):
    model = make((3,), max_iter=3, **settings).fit(X, y)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    H = model.hessian(X, y, sample_weight=weight)
    network = model._network(X.shape[1], model.n_outputs_)
    objective = model._objective(network, model._read(X, y, weight, reset=False))
    theta = network.pack(model.coefs_, model.intercepts_)
    step = 1e-6
    numeric = np.array(
        [
            (objective.value_and_grad(theta + e)[1] - objective.value_and_grad(theta - e)[1]) / (2 * step)
            for e in step * np.eye(len(theta))
        ]
    )
    np.testing.assert_allclose(H, numeric, atol=2e-6)
    assert np.array_equal(H, H.T)


def test_hessian_by_name_or_object():
    from qnewton_sk.curvature.matrices import GaussNewton

    model = classifier((3,), max_iter=3).fit(IRIS_X, IRIS_Y)
    G = model.hessian(IRIS_X, IRIS_Y, curvature="gauss_newton")
    assert np.linalg.eigvalsh(G).min() > -1e-12
    assert np.array_equal(G, model.hessian(IRIS_X, IRIS_Y, curvature=GaussNewton()))
    with pytest.raises(ValueError, match="`curvature` must be"):
        model.hessian(IRIS_X, IRIS_Y, curvature="jacobian")


def test_mini_batches_leave_out_samples_of_weight_zero():
    weight = np.zeros(len(IRIS_Y))
    weight[::50] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = classifier(batch_size=10, max_iter=3).fit(IRIS_X, IRIS_Y, sample_weight=weight)
    assert np.isfinite(model.loss_)


@pytest.mark.parametrize("seed", range(4))
def test_blocks_of_layers_share_the_radius(seed):
    rng = np.random.RandomState(seed)
    X, y = rng.randn(60, 5), rng.randint(3, size=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        settings = dict(curvature="hessian", partition="layer", scheduler="classical", max_iter=15)
        model = classifier((4, 3), **settings).fit(X, y)
    assert model.stop_reason_ != "stalled"
    assert model.history_["accepted"].sum() > 5
