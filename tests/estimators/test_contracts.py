"""The contract with scikit-learn: common checks, composition, pickling, callbacks, records as tables."""

import pickle
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, Scheduler
from qnewton_sk.optimize.records import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
HAS_CALLBACKS = find_spec("sklearn.callback") is not None
X, Y = load_iris(return_X_y=True)


def classifier(**settings):
    return QNewtonClassifier((4,), **{"max_iter": 10, "alpha": 0.1, "random_state": 0} | settings)


def common_checks(*estimators):
    """As parametrize_with_checks, whose iterator of old versions is refused by new ones of pytest."""
    mark = parametrize_with_checks(list(estimators)).mark
    names, cases = mark.args
    return pytest.mark.parametrize(names, list(cases), **mark.kwargs)


@common_checks(QNewtonClassifier(), QNewtonRegressor())
def test_common_checks(estimator, check):
    check(estimator)


def test_pipeline_and_cross_validation():
    model = make_pipeline(StandardScaler(), classifier())
    assert cross_val_score(model.set_params(qnewtonclassifier__max_iter=50), X, Y, cv=3).min() > 0.85


def test_grid_search_reaches_into_the_scheduler():
    grid = {"scheduler__hardware": ["ibm_sherbrooke", "attosecond"], "hidden_layer_sizes": [(), (3,)]}
    search = GridSearchCV(classifier(scheduler=Scheduler()), grid, cv=2).fit(X, Y)
    assert search.best_score_ > 0.85
    by_hardware = {
        name: classifier(curvature="hessian", scheduler=Scheduler(hardware=name)).fit(X, Y)
        for name in grid["scheduler__hardware"]
    }
    assert set(by_hardware["attosecond"].schedule_) == {"qlsa"}
    assert "qlsa" not in by_hardware["ibm_sherbrooke"].schedule_
    assert search.best_estimator_.scheduler.hardware in grid["scheduler__hardware"]


def test_grid_search_leaves_the_given_scheduler_alone():
    scheduler = Scheduler(hardware="attosecond")
    model = classifier(scheduler=scheduler)
    GridSearchCV(model, {"scheduler__hardware": ["ibm_sherbrooke"]}, cv=2).fit(X, Y)
    assert scheduler.hardware == "attosecond"


def test_transformed_validation_set_through_a_pipeline():
    with sklearn.config_context(enable_metadata_routing=True):
        model = classifier(early_stopping=True).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipeline.fit(X, Y, X_val=X[::3], y_val=Y[::3])
    assert pipeline[-1].best_validation_score_ == accuracy_score(Y[::3], pipeline.predict(X[::3]))


def test_clone_keeps_settings_and_forgets_the_fit():
    model = classifier(scheduler=Scheduler(hardware="attosecond")).fit(X, Y)
    copy = clone(model)
    assert copy.scheduler is not model.scheduler
    assert copy.scheduler.hardware == "attosecond"
    assert not hasattr(copy, "coefs_")


@pytest.mark.parametrize("settings", [{}, {"scheduler": Scheduler()}, {"activation": ("relu",)}])
def test_pickle_predicts_the_same(settings):
    model = classifier(**settings).fit(X, Y)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict_proba(X), model.predict_proba(X))
    assert "_qnewton_sk_version" not in vars(copy)


def test_pickle_of_another_version_warns():
    model = classifier().fit(X, Y)
    state = model.__getstate__() | {"_qnewton_sk_version": "0.0.1"}
    other = QNewtonClassifier()
    with pytest.warns(UserWarning, match="pickled by qnewton_sk 0.0.1 and is loaded by"):
        other.__setstate__(state)
    assert np.array_equal(other.predict(X), model.predict(X))


def test_history_is_a_table():
    model = classifier(first_order_steps=2).fit(X, Y)
    table = pd.DataFrame(model.history_)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == model.n_steps_
    assert table["loss"].dtype == table["condition_number"].dtype == float
    assert table["accepted"].dtype == bool


def test_features_by_name():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = classifier().fit(frame, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])


class StopAfter:
    """A callback that asks to stop, and keeps what it was told."""

    def __init__(self, epochs):
        self.epochs = epochs
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        self.seen.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.seen.append((context.task_name, fitted_estimator.score(X, y)))
        return len(self.seen) >= self.epochs


@pytest.mark.skipif(not HAS_CALLBACKS, reason="callbacks came with scikit-learn 1.9")
def test_a_callback_stops_the_fit():
    callback = StopAfter(3)
    model = classifier().set_callbacks(callback).fit(X, Y)
    assert (model.stop_reason_, model.n_iter_) == ("callback", 3)
    assert [name for name, _ in callback.seen[:-1]] == ["epoch"] * 3 + ["fit"]
    assert callback.seen[-2][1] == callback.seen[-3][1] == model.score(X, Y)
    assert callback.seen[-1] == "teardown"


@pytest.mark.skipif(not HAS_CALLBACKS, reason="callbacks came with scikit-learn 1.9")
def test_scores_are_monitored_inside_a_search():
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="accuracy")
    model = make_pipeline(StandardScaler(), classifier().set_callbacks(monitor))
    search = GridSearchCV(model, {"qnewtonclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=2).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    assert set(log["task_name"]) >= {"epoch"}
    assert log["accuracy"].between(0, 1).all()
    assert search.best_score_ > 0.85
