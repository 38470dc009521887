"""Nothing is lost: warm starts, partial fits, checkpoints, interrupted and failed fits."""

import pickle
import signal
import warnings
from dataclasses import fields

import kills
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_friedman1, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, TrustRegion
from qnewton_sk.estimators import checkpoint
from qnewton_sk.inference import EvidenceLoop
from qnewton_sk.inference.search import CHANGING, Search
from qnewton_sk.optimize import newton

IRIS_X, IRIS_Y = load_iris(return_X_y=True)
IRIS_X = StandardScaler().fit_transform(IRIS_X)
MOONS = make_moons(200, noise=0.2, random_state=0)
FRIEDMAN = FRIEDMAN_X, FRIEDMAN_Y = make_friedman1(150, random_state=0)

FITS = {
    "first-order steps": (QNewtonClassifier((8, 8), random_state=0, tol=1e-7), *MOONS),
    # of a size at which early steps are taken in single precision
    "a closing step": (QNewtonClassifier((16, 16), random_state=0, tol=1e-7), *MOONS),
    "a first step that is rejected": (
        QNewtonRegressor(
            (6,), random_state=0, tol=0.0, curvature="hessian", step_control=TrustRegion(radius=1e6)
        ),
        FRIEDMAN_X,
        FRIEDMAN_Y,
    ),
    "a step that is rejected after early ones": (
        QNewtonRegressor(
            (16, 16),
            random_state=0,
            tol=0.0,
            curvature="hessian",
            first_order_steps=3,
            step_control=TrustRegion(radius=1e6),
        ),
        FRIEDMAN_X,
        FRIEDMAN_Y,
    ),
    "Hessian": (QNewtonClassifier((6,), curvature="hessian", random_state=1, tol=1e-9), IRIS_X, IRIS_Y),
    "Gauss-Newton": (QNewtonRegressor((6,), random_state=0, tol=0.0), FRIEDMAN_X, FRIEDMAN_Y),
    "conjugate gradients": (
        QNewtonClassifier((6,), curvature="hessian", condition_number="products", random_state=2, tol=1e-9),
        IRIS_X,
        IRIS_Y,
    ),
    "batches": (
        QNewtonClassifier((5,), batch_size=40, curvature="gauss_newton", random_state=0),
        IRIS_X,
        IRIS_Y,
    ),
    "line search": (
        QNewtonRegressor((5,), step_control="line_search", random_state=0),
        FRIEDMAN_X,
        FRIEDMAN_Y,
    ),
}


def fitted(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def same(a, b):
    return all(np.array_equal(v, w) for v, w in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_))


def new(name, **settings):
    model, X, y = FITS[name]
    return type(model)(**model.get_params(deep=False) | settings), X, y


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("pieces", [(4, 4), (5, 3), (1, 6, 1), (2, 3, 3), (3, 5)])
def test_a_warm_start_goes_on_as_if_the_fit_had_not_ended(name, pieces):
    whole, X, y = new(name, max_iter=sum(pieces))
    fitted(whole, X, y)
    model, _, _ = new(name, warm_start=True)
    for epochs in pieces:
        fitted(model.set_params(max_iter=epochs), X, y)
    assert same(model, whole)
    assert model.stop_reason_ == whole.stop_reason_


def test_the_cases_are_what_they_are_called():
    for name, rejected in (("a closing step", False), ("a first step that is rejected", True)):
        model, X, y = new(name, max_iter=6)
        history = fitted(model, X, y).history_
        assert history["phase"][-1] == "newton"
        assert (history["phase"][0] == "newton" and not history["accepted"][0]) == rejected
        assert rejected or history["phase"][-2] == "first_order" and history["accepted"][-1]


def test_partial_fits_get_as_far_as_one_fit():
    X, y = MOONS
    whole = fitted(QNewtonClassifier((8, 8), random_state=0, max_iter=60, tol=0.0), X, y)
    model = QNewtonClassifier((8, 8), random_state=0, tol=0.0)
    for _ in range(60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.partial_fit(X, y, classes=[0, 1])
    assert model.loss_ <= 1.2 * whole.loss_
    assert len(model.loss_curve_) >= 60


def test_a_warm_start_on_other_data_lowers_their_loss():
    X, y = MOONS
    model = fitted(QNewtonClassifier((8,), random_state=0, warm_start=True, max_iter=10), X[:100], y[:100])
    fitted(model, X[100:], y[100:])
    assert model.loss_curve_[-1] < model.loss_curve_[10]


def test_weights_set_by_hand_are_where_a_warm_start_begins():
    model = fitted(QNewtonClassifier((4,), random_state=0, warm_start=True, max_iter=3), IRIS_X, IRIS_Y)
    model.coefs_ = [np.zeros_like(W) for W in model.coefs_]
    model.intercepts_ = [np.zeros_like(b) for b in model.intercepts_]
    fitted(model.set_params(max_iter=1), IRIS_X, IRIS_Y)
    assert model.loss_curve_[-1] <= np.log(3) + 1e-9


# -- checkpoints ---------------------------------------------------------------------------------------------

RESUMED = ["first-order steps", "a closing step", "Hessian", "Gauss-Newton", "batches"]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("epoch", [1, 5, 9])
def test_a_fit_goes_on_from_its_checkpoint_to_the_last_bit(name, epoch, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_WRITES", 0.0)
    whole, X, y = new(name, max_iter=12)
    fitted(whole, X, y)
    model, _, _ = new(name, max_iter=12, checkpoint=tmp_path / "fit.ckpt")
    real = newton.Newton.run

    def killed(self, *args, **kwargs):
        for progress in real(self, *args, **kwargs):
            if progress.epoch == epoch + 1:
                raise Killed
            yield progress

    with monkeypatch.context() as patch:
        patch.setattr(newton.Newton, "run", killed)
        with pytest.raises(Killed):
            fitted(model, X, y)
    resumed, _, _ = new(name, max_iter=12, checkpoint=tmp_path / "fit.ckpt")
    fitted(resumed, X, y)
    assert same(resumed, whole)
    assert resumed.loss_curve_ == whole.loss_curve_ and resumed.n_iter_ == whole.n_iter_
    assert resumed.history_["backend"].tolist() == whole.history_["backend"].tolist()
    again, _, _ = new(name, max_iter=12, checkpoint=tmp_path / "fit.ckpt")
    assert same(fitted(again, X, y), whole)  # the fit had ended


EVIDENCE = {
    "noise": (
        QNewtonRegressor((4,), alpha="evidence", posterior="full", random_state=0, max_iter=24),
        FRIEDMAN,
    ),
    "classes, per input": (
        QNewtonClassifier((3,), alpha="evidence_per_input", random_state=0, max_iter=16),
        (IRIS_X, IRIS_Y),
    ),
}


def ended_after(monkeypatch, error, counts):
    """Let searches raise an error once so many epochs have been taken in all; return the list of these epochs."""
    real, taken, counts = EvidenceLoop.run, [], list(counts)

    def run(*args, **kwargs):
        for progress in real(*args, **kwargs):
            if counts and len(taken) == counts[0]:
                counts.pop(0)
                raise error
            taken.append(progress)
            yield progress

    monkeypatch.setattr(EvidenceLoop, "run", run)
    return taken


@pytest.mark.parametrize("name", EVIDENCE)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.6, 0.8, 0.95])
def test_a_search_goes_on_from_its_checkpoint_to_the_last_bit(name, share, tmp_path, monkeypatch):
    """Killed twice: in the first steps of a start, between two updates, in the second start, or in the last steps."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_WRITES", 0.0)
    model, (X, y) = EVIDENCE[name]
    whole = fitted(clone(model), X, y)
    model = clone(model).set_params(checkpoint=tmp_path / "fit.ckpt")
    taken = ended_after(monkeypatch, Killed, (first := 1 + int(share * (whole.n_iter_ - 3)), first + 1))
    for _ in range(2):
        with pytest.raises(Killed):
            fitted(clone(model), X, y)
    for _ in range(2):  # the second time, the fit has ended
        resumed = fitted(clone(model), X, y)
        assert len(taken) == whole.n_iter_
        assert same(resumed, whole)
        assert resumed.loss_curve_ == whole.loss_curve_ and resumed.stop_reason_ == whole.stop_reason_
        assert resumed.log_evidence_ == whole.log_evidence_
        np.testing.assert_array_equal(resumed.alpha_, whole.alpha_)
        np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))


@pytest.mark.parametrize("name", EVIDENCE)
def test_an_interrupted_search_keeps_its_best_model_though_it_went_on_from_checkpoints(
    name, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_WRITES", 0.0)
    model, (X, y) = EVIDENCE[name]
    with monkeypatch.context() as patch:
        ended_after(patch, KeyboardInterrupt, [24])
        with pytest.warns(UserWarning, match="the model of the highest evidence so far is kept"):
            whole = fitted(clone(model), X, y)
    assert whole.stop_reason_ == "interrupted" and whole.log_evidence_ is not None
    ended_after(monkeypatch, KeyboardInterrupt, [22, 23, 24])
    for _ in range(3):
        with pytest.warns(UserWarning, match="interrupted"):
            stopped = fitted(clone(model).set_params(checkpoint=tmp_path / "fit.ckpt"), X, y)
    assert same(stopped, whole)
    assert stopped.log_evidence_ == whole.log_evidence_


def test_the_state_of_a_search_is_all_that_changes():
    fixed = {"newton", "objective", "groups", "natural"}
    assert {field.name for field in fields(Search)} == fixed | set(CHANGING)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_process_loses_nothing(tmp_path):
    call, path, out = kills.FITS["quasi-Newton"], tmp_path / "fit.ckpt", tmp_path / "resumed.npz"
    kills.run(call, "", tmp_path / "whole.npz")
    killed = [kills.run(call, path, out, wait)[0] for wait in (0.02, 0.1, 0.2, 0.35)]
    assert any(killed)
    kills.run(call, path, out)
    assert kills.same_models(tmp_path / "whole.npz", out)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_whose_first_solve_fails_writes_its_checkpoint(tmp_path):
    X = np.array(
        [[1e182, -1e182, 2e182]]
    )  # the objective is finite at smaller parameters only, the matrix nowhere
    model = QNewtonRegressor((), random_state=0, checkpoint=tmp_path / "fit").fit(X, [1.0])
    assert model.stop_reason_ == "solver_failed"
    assert (tmp_path / "fit").exists()


def test_a_checkpoint_of_another_fit_is_refused_by_name(tmp_path):
    path = tmp_path / "fit.ckpt"
    settings = dict(hidden_layer_sizes=(4,), random_state=0, max_iter=2, checkpoint=path)
    fitted(QNewtonClassifier(**settings), IRIS_X, IRIS_Y)
    with pytest.raises(ValueError, match="`checkpoint` must name.*differs in alpha. Delete"):
        QNewtonClassifier(**settings, alpha=0.5).fit(IRIS_X, IRIS_Y)
    with pytest.raises(ValueError, match="differs in X, y"):
        QNewtonClassifier(**settings).fit(IRIS_X[:90], IRIS_Y[:90])
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="`checkpoint` must name.*cannot be read"):
        QNewtonClassifier(**settings).fit(IRIS_X, IRIS_Y)
    assert path.read_bytes() == b"something else"


# -- failures and interruptions ------------------------------------------------------------------------------


def test_a_failed_refit_leaves_the_estimator_as_it_was():
    model = fitted(QNewtonClassifier((4,), random_state=0, max_iter=20), IRIS_X, IRIS_Y)
    before, state = model.predict(IRIS_X), pickle.dumps(model)
    with pytest.raises(ValueError, match="alpha"):
        model.set_params(alpha=-1.0).fit(IRIS_X[:, :2], IRIS_Y + 5)
    model.set_params(alpha="auto")
    assert pickle.dumps(model) == state

    class Broken(QNewtonClassifier):
        def _score_raw(self, *args):
            raise RuntimeError("broken")

    model.__class__ = Broken
    with pytest.raises(RuntimeError, match="broken"):
        model.fit(IRIS_X[:, :2], IRIS_Y[:], X_val=IRIS_X[:, :2], y_val=IRIS_Y)
    np.testing.assert_array_equal(model.predict(IRIS_X), before)


def test_an_exception_in_a_first_fit_keeps_the_last_finished_step():
    calls = []

    class Broken(QNewtonClassifier):
        def _score_raw(self, *args):
            calls.append(1)
            if len(calls) == 4:
                raise RuntimeError("broken")
            return super()._score_raw(*args)

    model = Broken((4,), random_state=0, max_iter=20)
    with pytest.raises(RuntimeError, match="broken"):
        model.fit(IRIS_X, IRIS_Y, X_val=IRIS_X, y_val=IRIS_Y)
    assert (model.stop_reason_, model.converged_) == ("error", False)
    assert len(model.validation_scores_) == 3
    assert model.predict(IRIS_X).shape == (150,)


def test_predictions_depend_on_fitted_attributes_alone():
    model = fitted(
        QNewtonRegressor((5,), loss="poisson", random_state=0, max_iter=20), FRIEDMAN_X, FRIEDMAN_Y
    )
    before, H = model.predict(FRIEDMAN_X), model.hessian(FRIEDMAN_X, FRIEDMAN_Y)
    model.set_params(hidden_layer_sizes=(7, 7), activation="relu", loss="squared_error", alpha=3.0)
    np.testing.assert_array_equal(model.predict(FRIEDMAN_X), before)
    np.testing.assert_array_equal(model.hessian(FRIEDMAN_X, FRIEDMAN_Y), H)


def test_ctrl_c_inside_a_search_stops_the_search(monkeypatch):
    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(newton.Newton, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(QNewtonClassifier((4,)), IRIS_X, IRIS_Y)
