"""scikit-learn's own tools around the estimators: searches, ensembles, inspection, routing, callbacks."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, balanced_accuracy_score, make_scorer, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qnewton_sk import GaussNewton, QNewtonClassifier, QNewtonRegressor, Scheduler

pytestmark = pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")

X, CLASSES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
RNG = np.random.default_rng(0)
INPUTS = RNG.uniform(-1, 1, (120, 3))
CURVE = np.sin(2 * INPUTS[:, 0]) + INPUTS[:, 1] ** 2  # the third input says nothing


def classifier(**settings):
    defaults = {"hidden_layer_sizes": (4,), "alpha": 0.1, "max_iter": 15, "random_state": 0}
    return QNewtonClassifier(**defaults | settings)


def regressor(**settings):
    defaults = {"hidden_layer_sizes": (6,), "alpha": 1e-3, "max_iter": 30, "random_state": 0}
    return QNewtonRegressor(**defaults | settings)


@pytest.mark.parametrize("name", ["auto", "quantum"])
def test_a_search_reaches_into_a_scheduler_that_is_given_by_name(name):
    model = make_pipeline(StandardScaler(), classifier(scheduler=name))
    grid = {"qnewtonclassifier__scheduler__hardware": ["ibm_sherbrooke", "attosecond"]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, CLASSES)
    assert search.score(X, CLASSES) > 0.9
    chosen = search.best_estimator_[-1].scheduler
    assert isinstance(chosen, Scheduler)
    assert chosen.hardware == search.best_params_["qnewtonclassifier__scheduler__hardware"]
    assert model[-1].scheduler == name


def test_a_scheduler_by_name_keeps_what_the_name_means():
    model = classifier(scheduler="quantum").set_params(scheduler__hardware="ibm_sherbrooke")
    assert [backend.name for backend in model.scheduler.available_backends()] == ["qlsa"]
    both = classifier().set_params(scheduler__hardware="attosecond", scheduler="classical")
    assert both.fit(X, CLASSES).score(X, CLASSES) > 0.9
    assert "qlsa" not in both.schedule_


def test_other_parts_given_by_name_must_be_objects_first():
    with pytest.raises(
        ValueError, match="`curvature` must be an object before `curvature__partition` can be set"
    ):
        GridSearchCV(
            classifier(), {"curvature__partition": ["full", "layer"]}, cv=2, error_score="raise"
        ).fit(X, CLASSES)
    grid = {"curvature__partition": ["full", "layer"]}
    search = GridSearchCV(classifier(curvature=GaussNewton()), grid, cv=2).fit(X, CLASSES)
    assert search.best_score_ > 0.8
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense' for estimator"):
        classifier().set_params(nonsense__hardware=1)


def test_halving_spends_epochs_as_the_resource():
    search = HalvingGridSearchCV(
        classifier(),
        {"alpha": [1e-3, 1e-1, 10.0]},
        resource="max_iter",
        min_resources=3,
        max_resources=27,
        cv=2,
    ).fit(X, CLASSES)
    assert search.n_resources_[0] == 3 and search.n_resources_ == sorted(search.n_resources_)
    assert search.best_estimator_.max_iter == search.n_resources_[-1]
    assert search.best_score_ > 0.8


def test_probabilities_are_calibrated():
    model = CalibratedClassifierCV(classifier(), cv=3).fit(X, CLASSES)
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert model.score(X, CLASSES) > 0.9


def test_bags_draw_weights_or_samples():
    model = BaggingClassifier(classifier(), 3, random_state=0).fit(X, CLASSES)
    assert model.score(X, CLASSES) > 0.9
    first, second = model.estimators_[:2]
    assert first.loss_ != second.loss_


def test_a_stack_of_regressors_beats_its_linear_member():
    model = StackingRegressor([("net", regressor()), ("line", Ridge())], cv=3).fit(INPUTS, CURVE)
    assert model.score(INPUTS, CURVE) > 0.95 > Ridge().fit(INPUTS, CURVE).score(INPUTS, CURVE)


def test_permutation_finds_the_input_that_says_nothing():
    model = regressor().fit(INPUTS, CURVE)
    importance = permutation_importance(model, INPUTS, CURVE, n_repeats=3, random_state=0).importances_mean
    assert importance[2] < 0.05 < importance[:2].min()


def test_a_learning_curve_rises():
    sizes, _, scores = learning_curve(regressor(alpha=0.1), INPUTS, CURVE, train_sizes=[10, 80], cv=3)
    assert list(sizes) == [10, 80]
    assert scores[1].mean() > scores[0].mean()


def test_a_threshold_is_tuned_for_a_rare_class():
    rare = np.flatnonzero(CLASSES == 2)[:10]
    rows = np.concatenate([np.flatnonzero(CLASSES == 1), rare])
    model = TunedThresholdClassifierCV(
        classifier(alpha=1.0), scoring="balanced_accuracy", cv=3, random_state=0
    )
    model.fit(X[rows], CLASSES[rows])
    assert 0 < model.best_threshold_ < 0.5
    tuned, plain = (
        balanced_accuracy_score(CLASSES[rows], m.predict(X[rows])) for m in (model, model.estimator_)
    )
    assert tuned > 0.9 and tuned >= plain


def test_features_are_selected_one_by_one():
    selector = SequentialFeatureSelector(regressor(), n_features_to_select=2, cv=2).fit(INPUTS, CURVE)
    assert selector.get_support().tolist() == [True, True, False]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_pass_through_a_pipeline_with_their_names(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({name: X[:, i] for i, name in enumerate("abcd")})
    model = make_pipeline(StandardScaler(), classifier()).set_output(transform=library)
    model.fit(frame, CLASSES)
    assert model[-1].feature_names_in_.tolist() == list("abcd")
    assert model.score(frame, CLASSES) > 0.9


def test_weights_are_routed_through_a_pipeline_and_a_search():
    weight = np.where(CLASSES == 0, 3.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            classifier().set_fit_request(sample_weight=True),
        )
        scoring = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"qnewtonclassifier__alpha": [0.1, 0.2]}, cv=2, scoring=scoring)
        search.fit(X, CLASSES, sample_weight=weight)
        expected = clone(search.best_estimator_).fit(X, CLASSES, sample_weight=weight)
    np.testing.assert_array_equal(search.predict_proba(X), expected.predict_proba(X))
    unweighted = clone(expected).fit(X, CLASSES)
    assert np.abs(search.predict_proba(X) - unweighted.predict_proba(X)).max() > 1e-3


def test_weights_are_routed_to_the_score_as_well():
    weight = np.arange(1.0, 121)
    with sklearn.config_context(enable_metadata_routing=True):
        model = regressor().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        result = cross_validate(model, INPUTS, CURVE, params={"sample_weight": weight}, cv=2)
        other = make_scorer(r2_score).set_score_request(sample_weight=False)
        unweighted = cross_validate(
            model, INPUTS, CURVE, params={"sample_weight": weight}, cv=2, scoring=other
        )
    assert np.all(result["test_score"] > 0.9)
    assert np.all(result["test_score"] != unweighted["test_score"])


@pytest.fixture
def callbacks():
    return pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")


def test_a_progress_bar_follows_the_epochs(callbacks, capsys):
    pytest.importorskip("rich", reason="scikit-learn's progress bar needs rich")
    model = classifier(max_iter=4).set_callbacks(callbacks.ProgressBar()).fit(X, CLASSES)
    assert model.n_iter_ == 4
    assert "QNewtonClassifier" in capsys.readouterr().out


def test_a_monitor_has_one_score_per_epoch(callbacks):
    pytest.importorskip("pandas")
    monitor = callbacks.ScoringMonitor(scoring="r2")
    model = regressor(max_iter=5).set_callbacks(monitor).fit(INPUTS, CURVE)
    log = monitor.get_logs().data_as_pandas
    scores = log.loc[log["task_name"] == "epoch", "r2"]
    assert len(scores) == model.n_iter_
    assert scores.iloc[-1] == pytest.approx(model.score(INPUTS, CURVE))
