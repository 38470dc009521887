"""Saved and loaded models are the same: skops, memory maps of joblib, and the warning of another version."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import qnewton_sk
from qnewton_sk import Hessian, LineSearch, QNewtonClassifier, QNewtonRegressor, Scheduler, quantum_backend

pytestmark = pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")

X, CLASSES = load_iris(return_X_y=True)
Y = np.column_stack([X[:, 0] - X[:, 2], X[:, 1] * X[:, 3]])
PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"
SETTINGS = {
    "defaults": {},
    "mini-batches": {"batch_size": 50},
    "evidence": {"alpha": "evidence", "posterior": "full"},
    "posterior by layer": {"alpha": 0.1, "posterior": "layer"},
    "posterior of the last layer": {"alpha": 0.1, "posterior": "last_layer"},
    "a RandomState": {"random_state": np.random.RandomState(0)},
    "layers": {"partition": "layer"},
    "quasi-Newton steps alone": {"max_iter": 2, "curvature": "auto", "hidden_layer_sizes": (20, 20)},
    "a posterior of more parameters than samples": {
        "alpha": 0.1,
        "posterior": "full",
        "hidden_layer_sizes": (120,),
        "max_iter": 2,
    },
    "parts": {
        "curvature": Hessian(),
        "step_control": LineSearch(),
        "scheduler": Scheduler([quantum_backend("ibm_sherbrooke")]),
    },
}
KINDS = {"classifier": (QNewtonClassifier, CLASSES), "regressor": (QNewtonRegressor, Y)}


def fitted(kind, settings):
    estimator, targets = KINDS[kind]
    defaults = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0, "warm_start": True}
    return estimator(**defaults | SETTINGS[settings]).fit(X, targets), targets


def documented_types():
    """The types that the page says to trust."""
    return [
        word.strip("`")
        for word in PAGE.read_text(encoding="utf-8").split()
        if word.startswith("`qnewton_sk.")
    ]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_skops_brings_a_model_back_with_the_types_on_the_page(kind, settings):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    model, targets = fitted(kind, settings)
    data = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=data)
    assert f"qnewton_sk.estimators.{kind}.{type(model).__name__}" in unknown
    unexpected = {name for name in unknown if name not in documented_types()}
    assert {name.split(".")[-1] for name in unexpected} <= (
        set(qnewton_sk.__all__) if settings == "parts" else set()
    )
    loaded = skops.loads(data, trusted=unknown)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.get_params().keys() == model.get_params().keys()
    for one, other in zip(loaded.fit(X, targets).coefs_, model.fit(X, targets).coefs_):
        np.testing.assert_array_equal(one, other)


def test_skops_takes_a_pipeline():
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    model = make_pipeline(StandardScaler(), QNewtonClassifier((3,), max_iter=5, random_state=0)).fit(
        X, CLASSES
    )
    data = skops.dumps(model)
    loaded = skops.loads(data, trusted=skops.get_untrusted_types(data=data))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_map_of_a_model_predicts_and_is_fitted_further(kind, settings, tmp_path):
    model, targets = fitted(kind, settings)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert isinstance(loaded.coefs_[0], np.memmap) and not loaded.coefs_[0].flags.writeable
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for one, other in zip(loaded.fit(X, targets).coefs_, model.fit(X, targets).coefs_):
        np.testing.assert_array_equal(one, other)
    again = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(again.predict(X), joblib.load(tmp_path / "model.joblib").predict(X))


def test_a_model_of_another_version_warns_when_it_is_loaded(monkeypatch):
    model, _ = fitted("classifier", "defaults")
    monkeypatch.setattr("qnewton_sk.versions.__version__", "0.0.9")
    written = pickle.dumps(model)
    monkeypatch.undo()
    with pytest.warns(
        UserWarning, match="QNewtonClassifier was pickled by qnewton_sk 0.0.9 and is loaded by"
    ):
        loaded = pickle.loads(written)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
