"""From and to scikit-learn's multilayer perceptrons: the same settings, the same predictions."""

import inspect
import pickle
import re
from pathlib import Path

import autograd.numpy as anp
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, from_mlp, to_mlp
from qnewton_sk.estimators import ABSENT_FROM_HERE
from qnewton_sk.interop.mlp import OTHER_MEANING, SAME

pytestmark = [
    pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged"),
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
    pytest.mark.filterwarnings("ignore:lbfgs failed to converge"),
]

X, CLASSES = load_iris(return_X_y=True)
Y = np.column_stack([X[:, 0] - X[:, 2], X[:, 1] * X[:, 3]])
TARGETS = {
    "two classes": (X[:100], np.array(["no", "yes"])[CLASSES[:100]]),
    "three classes": (X, CLASSES + 5),
    "multilabel": tuple(
        make_multilabel_classification(n_samples=80, n_features=4, n_classes=3, random_state=0)
    ),
}
HAS_POISSON = "loss" in MLPRegressor().get_params()


def classifier(**settings):
    return QNewtonClassifier(**{"hidden_layer_sizes": (4, 3), "max_iter": 4, "random_state": 0, **settings})


def regressor(**settings):
    return QNewtonRegressor(**{"hidden_layer_sizes": (4, 3), "max_iter": 4, "random_state": 0, **settings})


def assert_predicts_alike(one, other, inputs):
    np.testing.assert_array_equal(one.predict(inputs), other.predict(inputs))
    np.testing.assert_allclose(one.predict_proba(inputs), other.predict_proba(inputs), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("mlp, ours", [(MLPClassifier, QNewtonClassifier), (MLPRegressor, QNewtonRegressor)])
def test_every_parameter_of_an_mlp_is_the_same_renamed_or_absent(mlp, ours):
    there, here = set(mlp().get_params()), set(ours().get_params())
    assert there <= {*SAME, *OTHER_MEANING, *ABSENT_FROM_HERE}
    assert {*SAME, *OTHER_MEANING} & there <= here
    assert not set(ABSENT_FROM_HERE) & here


def test_the_page_on_moving_has_a_row_for_every_parameter():
    page = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page, flags=re.M))
    assert set(rows) == {*SAME, *OTHER_MEANING, *ABSENT_FROM_HERE}
    assert {name for name, here in rows.items() if here == "absent"} == set(ABSENT_FROM_HERE)
    assert {name for name, here in rows.items() if "not carried over" in here} == set(OTHER_MEANING)


def test_an_unfitted_mlp_gives_its_settings():
    mlp = MLPRegressor(hidden_layer_sizes=(7, 5), activation="logistic", alpha=0.3, tol=1e-6, max_iter=77)
    mlp.set_params(batch_size=16, learning_rate_init=0.01, solver="sgd", momentum=0.5, random_state=3)
    model = from_mlp(mlp)
    assert type(model) is QNewtonRegressor and not hasattr(model, "coefs_")
    for name in set(SAME) & set(mlp.get_params()):
        assert getattr(model, name) == getattr(mlp, name), name
    assert (model.batch_size, model.learning_rate_init) == ("auto", 1.0)


def test_settings_of_ours_can_be_added():
    model = from_mlp(MLPClassifier(alpha=0.3), curvature="gauss_newton", alpha=0.5)
    assert (model.curvature, model.alpha) == ("gauss_newton", 0.5)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", TARGETS)
def test_a_fitted_classifier_of_scikit_learn_predicts_the_same_as_ours(kind, solver):
    inputs, targets = TARGETS[kind]
    mlp = MLPClassifier((4, 3), solver=solver, max_iter=10, random_state=0).fit(inputs, targets)
    state = pickle.dumps(mlp)
    model = from_mlp(mlp)
    assert_predicts_alike(model, mlp, inputs)
    assert model.score(inputs, targets) == mlp.score(inputs, targets)
    model.coefs_[0][:] = 0
    assert pickle.dumps(mlp) == state


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_fitted_regressor_of_scikit_learn_predicts_the_same_as_ours(activation, n_outputs):
    targets = Y[:, 0] if n_outputs == 1 else Y
    mlp = MLPRegressor(hidden_layer_sizes=(5,), activation=activation, max_iter=10, random_state=0).fit(
        X, targets
    )
    np.testing.assert_allclose(from_mlp(mlp).predict(X), mlp.predict(X), rtol=1e-12)


@pytest.mark.skipif(not HAS_POISSON, reason="MLPRegressor has no Poisson loss before scikit-learn 1.7")
def test_a_poisson_regressor_survives_a_round_trip():
    mlp = MLPRegressor(loss="poisson", hidden_layer_sizes=(5,), max_iter=10, random_state=0).fit(X, np.abs(Y))
    model = from_mlp(mlp)
    np.testing.assert_allclose(model.predict(X), mlp.predict(X), rtol=1e-12)
    back = to_mlp(model)
    assert back.loss == "poisson"
    np.testing.assert_allclose(back.predict(X), mlp.predict(X), rtol=1e-12)


def test_a_warm_start_continues_from_the_weights_of_an_mlp():
    mlp = MLPClassifier((4,), alpha=0.1, solver="lbfgs", max_iter=300, random_state=0).fit(X, CLASSES)
    model = from_mlp(mlp, warm_start=True)
    before = model.loss_
    model.fit(X, CLASSES)
    assert model.history_["loss"][0] <= before * (1 + 1e-6)
    assert model.history_["accepted"].dtype == bool and model.history_["step"].dtype == int
    assert model.loss_ <= before * (1 + 1e-12) and model.stop_reason_ != "from_mlp"


def test_weights_of_an_mlp_have_the_hessian_of_the_same_objective():
    mlp = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", max_iter=20, random_state=0).fit(
        X, Y[:, 0]
    )
    fitted = regressor(hidden_layer_sizes=(4,), alpha=mlp.alpha).fit(X, Y[:, 0])
    fitted.coefs_, fitted.intercepts_ = mlp.coefs_, mlp.intercepts_
    np.testing.assert_allclose(from_mlp(mlp).hessian(X, Y[:, 0]), fitted.hessian(X, Y[:, 0]), rtol=1e-12)


def test_settings_added_to_a_fitted_mlp_do_not_change_its_predictions():
    mlp = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", max_iter=10, random_state=0).fit(X, Y)
    model = from_mlp(mlp, activation="silu", hidden_layer_sizes=(9,), alpha="evidence")
    np.testing.assert_allclose(model.predict(X), mlp.predict(X), rtol=1e-12)
    assert (model.activation, model.hidden_layer_sizes) == ("silu", (9,))
    assert model.fit(X, Y).coefs_[0].shape == (4, 9)


def test_a_fitted_result_can_be_cloned_pickled_and_shown():
    mlp = MLPClassifier((4,), max_iter=10, random_state=0).fit(X, CLASSES)
    model = from_mlp(mlp)
    assert not hasattr(clone(model), "coefs_")
    assert_predicts_alike(pickle.loads(pickle.dumps(model)), mlp, X)
    assert "QNewtonClassifier" in model._repr_html_()


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_a_classifier_of_ours_predicts_the_same_as_an_mlp(kind, activation):
    inputs, targets = TARGETS[kind]
    model = classifier(activation=activation).fit(inputs, targets)
    mlp = to_mlp(model)
    assert type(mlp) is MLPClassifier and mlp.solver == "lbfgs"
    assert_predicts_alike(mlp, model, inputs)
    assert mlp.score(inputs, targets) == model.score(inputs, targets)
    assert (mlp.n_layers_, mlp.n_outputs_, mlp.out_activation_, mlp.n_iter_) == (
        model.n_layers_,
        model.n_outputs_,
        model.out_activation_,
        model.n_iter_,
    )


@pytest.mark.parametrize("loss", ["squared_error", "huber", lambda y, z: anp.sum((y - z) ** 4, axis=1)])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("hidden", [(), (4,)])
def test_a_regressor_of_ours_predicts_the_same_as_an_mlp(loss, n_outputs, hidden):
    targets = Y[:, 0] if n_outputs == 1 else Y
    model = regressor(loss=loss, hidden_layer_sizes=hidden).fit(X, targets)
    mlp = to_mlp(model)
    assert mlp.predict(X).shape == model.predict(X).shape
    np.testing.assert_allclose(mlp.predict(X), model.predict(X), rtol=1e-12, atol=1e-14)


def test_settings_names_and_precision_are_carried_over():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X.astype(np.float32), columns=list("abcd"))
    model = classifier(alpha=0.2, tol=1e-6, n_iter_no_change=7, verbose=False).fit(frame, CLASSES)
    mlp = to_mlp(model)
    assert list(mlp.feature_names_in_) == list("abcd")
    assert mlp.predict_proba(frame).dtype == model.predict_proba(frame).dtype == np.float32
    for name in set(SAME) & set(mlp.get_params()):
        assert getattr(mlp, name) == getattr(model, name), name


def test_an_mlp_of_ours_can_be_fitted_further():
    model = classifier(alpha=0.1, warm_start=True).fit(X, CLASSES)
    mlp = to_mlp(model)
    assert mlp.fit(X, CLASSES).loss_ <= model.loss_ * (1 + 1e-9)
    np.testing.assert_array_equal(clone(mlp).fit(X, CLASSES).classes_, model.classes_)


def test_the_random_state_of_the_user_is_not_drawn_from():
    random_state = np.random.RandomState(5)
    model = classifier(random_state=random_state).fit(X, CLASSES)
    before = random_state.get_state()[1].copy()
    assert to_mlp(model).random_state is random_state
    np.testing.assert_array_equal(random_state.get_state()[1], before)


def test_a_posterior_of_a_regressor_and_penalties_by_evidence_do_not_change_the_predictions():
    model = regressor(hidden_layer_sizes=(4,), alpha="evidence", posterior="full", max_iter=30).fit(
        X, Y[:, 0]
    )
    mlp = to_mlp(model)
    np.testing.assert_allclose(mlp.predict(X), model.predict(X), rtol=1e-12)
    assert mlp.alpha == MLPRegressor().alpha


@pytest.mark.parametrize("activation", ["silu", ("tanh", "relu"), anp.tanh])
def test_an_activation_that_scikit_learn_does_not_have_is_refused(activation):
    model = regressor(activation=activation).fit(X, Y)
    with pytest.raises(
        ValueError, match=r"`activation` must be one of \['identity', 'logistic', 'tanh', 'relu'\]"
    ):
        to_mlp(model)


def test_a_classifier_that_averages_over_a_posterior_has_no_mlp():
    model = classifier(posterior="last_layer", alpha=0.1).fit(X, CLASSES)
    with pytest.raises(ValueError, match="`posterior` must be None for to_mlp.*got 'last_layer'"):
        to_mlp(model)


@pytest.mark.skipif(HAS_POISSON, reason="MLPRegressor has a Poisson loss")
def test_poisson_is_refused_if_scikit_learn_does_not_have_it():
    with pytest.raises(ValueError, match='`loss` must be "squared_error" or "huber" before scikit-learn 1.7'):
        to_mlp(regressor(loss="poisson").fit(X, np.abs(Y)))


def test_other_estimators_and_unfitted_ones_are_refused():
    with pytest.raises(
        ValueError, match="`estimator` must be an MLPClassifier or MLPRegressor; got Logistic"
    ):
        from_mlp(LogisticRegression())
    with pytest.raises(ValueError, match="`model` must be a QNewtonClassifier or QNewtonRegressor; got MLP"):
        to_mlp(MLPClassifier())
    with pytest.raises(NotFittedError):
        to_mlp(classifier())


def test_an_mlp_fitted_on_one_class_is_refused():
    mlp = MLPClassifier((2,), max_iter=2).fit(X[:4], np.zeros(4))
    with pytest.raises(ValueError, match="`estimator` must have at least two classes; got one class"):
        from_mlp(mlp)


@pytest.mark.parametrize("kind", [QNewtonClassifier, QNewtonRegressor])
@pytest.mark.parametrize("name", sorted(ABSENT_FROM_HERE))
def test_a_parameter_that_only_an_mlp_has_raises_an_explanation(kind, name):
    with pytest.raises(TypeError, match=f"`{name}` is no parameter of {kind.__name__}: .*from_mlp"):
        kind((4,), **{name: 1})
    with pytest.raises(TypeError, match=f"`{name}` is no parameter of"):
        from_mlp(MLPClassifier(), **{name: 1})


@pytest.mark.parametrize("kind", [QNewtonClassifier, QNewtonRegressor])
def test_the_constructor_keeps_its_explicit_signature(kind):
    parameters = inspect.signature(kind).parameters
    assert set(parameters) == set(kind().get_params())
    assert all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters.values())
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        kind(nonsense=1)
    with config_context(print_changed_only=False):
        assert "scheduler='auto'" in repr(kind())


def test_a_search_over_an_absent_parameter_names_the_valid_ones():
    with pytest.raises(ValueError, match="Invalid parameter 'solver' for estimator"):
        GridSearchCV(classifier(), {"solver": ["adam"]}, cv=2).fit(X, CLASSES)
