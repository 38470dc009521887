"""Exported nets give in onnxruntime what they predict here."""

import builtins

import autograd.numpy as anp
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier, StackingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, register_onnx

skl2onnx = pytest.importorskip("skl2onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")

X, CLASSES = load_iris(return_X_y=True)
X = X.astype(np.float32)
Y = np.column_stack([X[:, 0] - X[:, 2], X[:, 1] * X[:, 3]])
ACTIVATIONS = ["identity", "logistic", "tanh", "relu", "softplus", "silu", "gelu"]
LABELS = {
    "two classes": (X[:100], CLASSES[:100]),
    "three classes": (X, CLASSES),
    "strings": (X, np.array(["säure", "base", "salz"])[CLASSES]),
    "strings as objects": (X, np.array(["säure", "base", "salz"], dtype=object)[CLASSES]),
    "negative and huge": (X, np.array([-7, 3, 2**40])[CLASSES]),
    "floats": (X, 2.0 * CLASSES),
    "booleans": (X, CLASSES > 0),
    "multilabel": tuple(make_multilabel_classification(n_samples=80, n_features=4, random_state=0)),
}


@pytest.fixture(autouse=True, scope="module")
def registered():
    register_onnx()


def classifier(**settings):
    return QNewtonClassifier(**{"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, **settings})


def regressor(**settings):
    return QNewtonRegressor(**{"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, **settings})


def run(model, inputs, options=None, dtype=np.float32, **conversion):
    """The outputs of the exported model by name."""
    inputs = np.asarray(inputs, dtype)
    exported = skl2onnx.to_onnx(model, inputs[:1], options=options, **conversion)
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: inputs})))


def without_zipmap(model, inputs, **settings):
    return tuple(run(model, inputs, {"zipmap": False}, **settings).values())


def assert_close(got, expected, atol=1e-5):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, ("gelu", "tanh"), ("relu", "softplus")], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_activation_predicts_the_same(activation, dtype):
    model = make_pipeline(StandardScaler(), classifier(hidden_layer_sizes=(5, 4), activation=activation))
    model.fit(X.astype(dtype), CLASSES)
    labels, probabilities = without_zipmap(model, X, dtype=dtype)
    assert probabilities.dtype == dtype
    assert_close(probabilities, model.predict_proba(X.astype(dtype)))
    np.testing.assert_array_equal(labels, model.predict(X.astype(dtype)))


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"gelu"}))
def test_double_inputs_are_computed_in_double(activation):
    model = regressor(activation=activation).fit(X.astype(float), Y)
    (prediction,) = run(model, X, dtype=np.float64).values()
    np.testing.assert_allclose(prediction, model.predict(X.astype(float)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ["softplus", "silu", "gelu", "logistic"])
def test_large_arguments_of_an_activation_stay_finite(activation):
    model = regressor(activation=activation).fit(X, Y)
    large = np.array([[1e4] * 4, [-1e4] * 4], np.float32)
    (prediction,) = run(model, large).values()
    assert_close(prediction, model.predict(large))


@pytest.mark.parametrize(
    "loss", ["squared_error", "poisson", "huber", lambda y, z: anp.sum((y - z) ** 4, axis=1)]
)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_every_loss_predicts_the_same(loss, n_outputs):
    targets = np.abs(Y[:, :n_outputs])
    model = make_pipeline(StandardScaler(), regressor(loss=loss)).fit(
        X, targets if n_outputs > 1 else targets[:, 0]
    )
    (prediction,) = run(model, X).values()
    assert prediction.shape == (len(X), n_outputs)
    assert_close(prediction, model.predict(X).reshape(len(X), n_outputs))


def test_a_net_without_hidden_layers_is_a_linear_model():
    model = regressor(hidden_layer_sizes=()).fit(X, Y)
    (prediction,) = run(model, X).values()
    assert_close(prediction, model.predict(X))


@pytest.mark.parametrize("kind", LABELS)
def test_every_kind_of_label_comes_back(kind):
    inputs, targets = LABELS[kind]
    model = make_pipeline(StandardScaler(), classifier()).fit(inputs, targets)
    labels, probabilities = without_zipmap(model, inputs)
    assert_close(probabilities, model.predict_proba(np.float32(inputs)))
    np.testing.assert_array_equal(labels, model.predict(np.float32(inputs)))


@pytest.mark.parametrize("kind", ["two classes", "strings", "floats", "multilabel"])
def test_the_zip_map_holds_the_probability_of_each_label(kind):
    inputs, targets = LABELS[kind]
    model = make_pipeline(StandardScaler(), classifier()).fit(inputs, targets)
    labels, maps = run(model, inputs).values()
    np.testing.assert_array_equal(labels, model.predict(np.float32(inputs)))
    probabilities = [[row[label] for label in model.classes_] for row in maps]
    assert_close(probabilities, model.predict_proba(np.float32(inputs)))


def test_the_zip_map_by_columns_has_one_output_per_class():
    model = classifier().fit(X, CLASSES)
    outputs = run(model, X, {"zipmap": "columns"})
    assert list(outputs) == ["output_label", "i0", "i1", "i2"]
    assert_close(np.column_stack(list(outputs.values())[1:]), model.predict_proba(X))


@pytest.mark.parametrize("kind", ["two classes", "three classes", "multilabel"])
def test_raw_scores_are_the_decision_function(kind):
    inputs, targets = LABELS[kind]
    model = classifier().fit(inputs, targets)
    _, scores = run(model, inputs, {id(model): {"zipmap": False, "raw_scores": True}}).values()
    expected = model.decision_function(np.float32(inputs))
    assert_close(
        scores, np.column_stack([-expected, expected]) if expected.ndim == 1 else expected, atol=1e-4
    )


def test_class_labels_can_be_an_output_or_be_left_out():
    inputs, targets = LABELS["strings"]
    model = classifier().fit(inputs, targets)
    with_labels = run(model, inputs, {"zipmap": False, "output_class_labels": True})
    np.testing.assert_array_equal(with_labels["class_labels"], model.classes_)
    numbers = run(model, inputs, {"zipmap": False, "nocl": True})["label"]
    np.testing.assert_array_equal(model.classes_[numbers], model.predict(inputs))


def test_the_columns_of_a_frame_may_be_inputs_of_their_own():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    scaled = ColumnTransformer([("scale", StandardScaler(), ["a", "c"]), ("rest", "passthrough", ["b", "d"])])
    for model in (classifier(), make_pipeline(scaled, classifier())):
        model.fit(frame, CLASSES)
        exported = skl2onnx.to_onnx(model, frame[:1], options={"zipmap": False})
        session = onnxruntime.InferenceSession(
            exported.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        _, probabilities = session.run(None, {name: frame[[name]].to_numpy() for name in frame})
        assert_close(probabilities, model.predict_proba(frame))


def test_integer_inputs_are_taken():
    model = regressor().fit(X, Y)
    counts = np.arange(8).reshape(2, 4)
    (prediction,) = run(model, counts, dtype=np.int64).values()
    assert_close(prediction, model.predict(counts))


@pytest.mark.parametrize("target_opset", [13, 15, 18])
def test_older_opsets_are_supported(target_opset):
    model = classifier(hidden_layer_sizes=(4, 4), activation=("gelu", "softplus")).fit(X, CLASSES)
    _, probabilities = without_zipmap(model, X, target_opset=target_opset)
    assert_close(probabilities, model.predict_proba(X))


@pytest.mark.parametrize(
    "compose",
    [
        lambda: CalibratedClassifierCV(classifier(), cv=2),
        lambda: BaggingClassifier(classifier(), 2, random_state=0),
        lambda: GridSearchCV(classifier(), {"alpha": [1e-3, 1e-2]}, cv=2),
    ],
    ids=["calibrated", "bagged", "searched"],
)
@pytest.mark.parametrize("kind", ["two classes", "three classes"])
def test_classifiers_inside_others_are_exported(compose, kind):
    inputs, targets = LABELS[kind]
    model = compose().fit(inputs, targets)
    labels, probabilities = without_zipmap(model, inputs)
    assert_close(probabilities, model.predict_proba(inputs))
    np.testing.assert_array_equal(labels, model.predict(inputs))


def test_regressors_inside_others_are_exported():
    model = StackingRegressor([("net", regressor()), ("line", Ridge())], cv=2).fit(X, Y[:, 1])
    (prediction,) = run(model, X).values()
    assert_close(prediction[:, 0], model.predict(X), atol=1e-4)


def test_the_posterior_of_a_regressor_does_not_change_its_predictions():
    model = regressor(posterior="full", alpha=0.1).fit(X, Y)
    (prediction,) = run(model, X).values()
    assert_close(prediction, model.predict(X))


def test_a_classifier_that_averages_over_a_posterior_is_refused():
    model = classifier(posterior="full", alpha=0.1).fit(X, CLASSES)
    with pytest.raises(
        ValueError, match="`posterior` must be None for an ONNX export of a classifier.*got 'full'"
    ):
        run(model, X)
    model.posterior_ = None
    assert_close(without_zipmap(model, X)[1], model.predict_proba(X))


def bump(z):
    return z * anp.exp(-0.5 * z**2)


@pytest.mark.parametrize("activation", [bump, anp.tanh, (bump,)])
def test_a_function_of_the_user_is_refused_whatever_its_name(activation):
    name = "tanh" if activation is anp.tanh else "bump"
    model = regressor(activation=activation).fit(X, Y)
    with pytest.raises(ValueError, match=f"`activation` must be among .* for ONNX.*; got {name}"):
        run(model, X)


def test_export_uses_the_settings_of_the_fit_not_later_ones():
    model = regressor(activation="silu").fit(X, Y)
    expected = model.predict(X)
    model.set_params(activation="relu", loss="poisson")
    (prediction,) = run(model, X).values()
    assert_close(prediction, expected)


def test_an_estimator_that_was_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        run(regressor(), X)


def test_without_skl2onnx_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **settings):
        if name.split(".")[0] == "skl2onnx":
            raise ImportError(name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'pip install "qnewton_sk\[onnx\]"'):
        register_onnx()
