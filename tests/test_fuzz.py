"""A few seconds of the fuzzer, the faults that it has found, and faults planted to see that it finds them."""

import warnings

import numpy as np
import pytest
from autograd import value_and_grad
from fuzz import check, fuzz, run, shrink
from fuzz_cases import KINDS, VALUES, Case, draw
from fuzz_oracle import judge
from oracles import ACTIVATIONS, LOSSES
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk import QNewtonClassifier, QNewtonRegressor

FAULTS = [
    Case(task="binary", n=3, outputs=2, settings={"batch_size": "2"}),
    Case(
        task="multilabel",
        n=1,
        outputs=2,
        X_scale=1e270,
        settings={"activation": "'softplus'", "posterior": "'layer'"},
    ),
    Case(task="multilabel", n=2, outputs=3, X_scale=1e-85, settings={"alpha": "'evidence'"}),
    Case(n=1, weights="tiny", settings={"alpha": "1e300"}),
    Case(
        task="multiclass",
        n=3,
        outputs=3,
        X_scale=1e237,
        settings={"hidden_layer_sizes": "()", "posterior": "'layer'"},
    ),
    Case(n=11, y_scale=1e162, settings={"early_stopping": "True"}),
    Case(n=2, X_scale=1e153, settings={"alpha": "'evidence_per_input'"}),
    Case(
        n=12,
        features=6,
        outputs=3,
        X="duplicates",
        y="noise",
        X_scale=1e119,
        y_scale=1e5,
        settings={
            "hidden_layer_sizes": "()",
            "max_iter": "3",
            "random_state": "3",
            "curvature": "'hessian'",
            "partition": "'layer'",
            "batch_size": "7",
            "diagnostics": "True",
            "shuffle": "False",
        },
        seed=201,
    ),
    Case(
        n=50,
        features=1,
        outputs=3,
        weights="wide",
        y_scale=1e148,
        settings={
            "hidden_layer_sizes": "(1,)",
            "max_iter": "12",
            "random_state": "3",
            "partition": "'layer'",
            "early_stopping": "True",
        },
        seed=891,
    ),
    Case(n=1, validation=True),
    Case(n=18, weights="huge", y_scale=100.0, settings={"early_stopping": "True"}),
    Case(task="multiclass", n=8, outputs=3, X_scale=1e287, settings={"batch_size": "7"}),
    Case(
        n=30,
        features=1,
        dtype="int8",
        y_scale=1e221,
        settings={
            "hidden_layer_sizes": "(3,)",
            "max_iter": "2",
            "partition": "'layer'",
            "scheduler": "Scheduler([classical_backends()[7]])",
            "batch_size": "1",
            "early_stopping": "True",
            "posterior": "'last_layer'",
            "loss": "'poisson'",
        },
        seed=264,
    ),
    Case(weights="wide", settings={"alpha": "1e300", "batch_size": "1", "loss": "'huber'"}),
    Case(
        n=6,
        features=6,
        weights="tiny",
        call="partial",
        settings={
            "hidden_layer_sizes": "(2,2,2,2)",
            "max_iter": "1",
            "random_state": "3",
            "curvature": "'hessian'",
            "condition_number": "'shift'",
            "loss": "'poisson'",
        },
        seed=78,
    ),
    Case(
        n=12,
        features=2,
        outputs=2,
        weights="huge",
        y_scale=1e242,
        settings={
            "hidden_layer_sizes": "(2,2,2,2)",
            "first_order_steps": "100",
            "batch_size": "1000",
            "loss": "log_cosh",
        },
        seed=83,
    ),
    Case(
        n=30,
        X_scale=0.01,
        y_scale=1e-62,
        settings={"alpha": "'evidence'", "tol": "1e9", "diagnostics": "True"},
    ),
    Case(n=6, dtype="float32", y_scale=1e20, settings={"posterior": "'full'"}),
    Case(
        n=6,
        features=2,
        y_scale=1e-158,
        validation=True,
        settings={
            "hidden_layer_sizes": "(2,2)",
            "max_iter": "40",
            "curvature": "EmpiricalFisher('layer')",
            "scheduler": "Scheduler([classical_backends()[0]])",
            "step_control": "TrustRegion(radius=1e12)",
            "learning_rate_init": "0.5",
        },
        seed=901,
    ),
]
"""Small cases of faults that the fuzzer has found, all of which have been corrected."""


def seeded(case):
    """The case with a random state of its own, so that a second fit is the same."""
    return case if "random_state" in case.settings else case.but_setting("random_state", "0")


@pytest.mark.parametrize("seed", [0, 1])
def test_fuzzed_fits_keep_every_promise(seed):
    _, refusals, endings, found = run(seed, range(25))
    assert not [(draw(seed, index), violation) for index, violation in found]
    assert endings["refused"] == sum(refusals.values()) < 8
    assert endings["converged"] > 0 and endings["max_iter"] > 0


@pytest.mark.parametrize("case", FAULTS, ids=range(len(FAULTS)))
def test_a_fault_that_the_fuzzer_has_found_does_not_come_back(case):
    assert not check(seeded(case)).violations


# -- the fuzzer itself ---------------------------------------------------------------------------------------


def test_draws_are_the_same_each_time_and_cover_every_value():
    cases = [draw(0, index) for index in range(4000)]
    assert cases[:50] == [draw(0, index) for index in range(50)]
    assert cases[0] == eval(repr(cases[0]))
    for name, values in VALUES.items():
        drawn = {case.settings.get(name) for case in cases}
        assert drawn >= set(values), name
    for name, values in KINDS.items():
        assert {getattr(case, name) for case in cases} >= set(values), name


def test_every_drawn_case_can_be_built():
    for index in range(300):
        case = draw(1, index)
        data, settings = case.data(), case.estimator().get_params(deep=False)
        assert np.shape(data.X)[0] == case.n
        assert set(case.settings) <= set(settings)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"bump"}))
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber", "softmax", "logistic"])
def test_the_judge_agrees_with_automatic_differentiation(loss, activation):
    task = {"softmax": "multiclass", "logistic": "multilabel"}.get(loss, "regression")
    settings = {
        "hidden_layer_sizes": "(3, 2)",
        "activation": repr(activation),
        "alpha": "0.5",
        "max_iter": "2",
    }
    if task == "regression":
        settings["loss"] = repr(loss)
    case = Case(task=task, n=9, outputs=3, weights="zeros", settings=settings, seed=3)
    X, y, weight = case.plain()
    estimator = case.estimator(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y, sample_weight=weight)
    judged = judge(case, estimator, estimator.coefs_, estimator.intercepts_, (X, y, weight), np.float64)
    value, gradient = by_autograd(case, estimator, X, y, weight)
    assert float(judged.value) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(np.sort(judged.gradient.astype(float)), np.sort(gradient), atol=1e-12)
    assert (judged.gradient_error < 1e-11).all() and judged.value_error < 1e-11


def by_autograd(case, estimator, X, y, weight):
    """The objective and its gradient by automatic differentiation; the order of the entries is another one."""
    names = {"softmax": "log_loss", "logistic": "binary_log_loss"}
    if case.task == "multiclass":
        y, loss = np.eye(3)[y], "log_loss"
    else:
        loss = names["logistic"] if case.task == "multilabel" else case.loss
    f, w = ACTIVATIONS[estimator.activation], weight / weight.sum()

    def objective(layers):
        a = X
        for W, b in layers[:-1]:
            a = f(a @ W + b)
        W, b = layers[-1]
        penalty = 0.5 * estimator.alpha / weight.sum() * sum((W**2).sum() for W, _ in layers)
        return (w * LOSSES[loss](a @ W + b, y)).sum() + penalty

    value, gradients = value_and_grad(objective)(list(zip(estimator.coefs_, estimator.intercepts_)))
    return value, np.concatenate([part.ravel() for pair in gradients for part in pair])


def writes_to_its_data(net, X, y):
    X[0, 0] += 1


def claims_to_have_converged(net, X, y):
    net.converged_, net.stop_reason_ = True, "converged"


def forgets_to_warn(net, X, y):
    net.converged_, net.stop_reason_ = False, "stalled"


def changes_its_settings(net, X, y):
    net.alpha = 17.0


def returns_another_model_each_time(net, X, y):
    net.coefs_[0] = net.coefs_[0] + np.random.default_rng().uniform(1e-9, 1e-8)


def is_not_finite(net, X, y):
    net.intercepts_[-1] = net.intercepts_[-1] * np.nan


def reports_another_loss(net, X, y):
    net.loss_ *= 1.001


def ends_above_its_start(net, X, y):
    net.intercepts_[-1] = net.intercepts_[-1] + 1e3
    net.loss_ = float(np.mean((net.predict(X) - y) ** 2) / 2)


def warns_of_something(net, X, y):
    warnings.warn("something", RuntimeWarning, stacklevel=2)


def raises_a_type_error(net, X, y):
    raise TypeError("unsupported operand")


def names_nothing(net, X, y):
    raise ValueError("the input is wrong")


PLANTED = {
    writes_to_its_data: "data are not modified",
    claims_to_have_converged: "converged_ only at a small gradient",
    forgets_to_warn: "a warning if the fit has not converged",
    changes_its_settings: "settings are not modified",
    returns_another_model_each_time: "the same call gives the same model",
    is_not_finite: "the model is finite",
    reports_another_loss: "loss_ is the objective at the model",
    ends_above_its_start: "the loss ends below its start",
    warns_of_something: "no warning but ConvergenceWarning",
    raises_a_type_error: "no TypeError",
    names_nothing: "a ValueError names a parameter",
}


@pytest.mark.parametrize("fault", list(PLANTED), ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(monkeypatch, fault):
    good = QNewtonRegressor.fit

    def fit(self, X, y, **rest):
        good(self, X, y, **rest)
        fault(self, X, y)
        return self

    settings = {
        "hidden_layer_sizes": "(2,)",
        "max_iter": "100",
        "alpha": "1.0",
        "tol": "1e-6",
        "random_state": "0",
    }
    case = Case(settings=settings)
    assert not check(case).violations
    monkeypatch.setattr(QNewtonRegressor, "fit", fit)
    if fault is claims_to_have_converged:
        case = case.but_setting("max_iter", "1")
    assert PLANTED[fault] in {violation.promise for violation in check(case).violations}


def test_predictions_that_depend_on_later_settings_are_found(monkeypatch):
    good = QNewtonClassifier.decision_function
    monkeypatch.setattr(
        QNewtonClassifier, "decision_function", lambda self, X: good(self, X) + len(str(self.activation))
    )
    found = check(Case(task="binary", outputs=2, settings={"hidden_layer_sizes": "(2,)", "max_iter": "3"}))
    assert "predictions depend on fitted attributes alone" in {v.promise for v in found.violations}


def test_a_fit_that_hangs_is_found(monkeypatch):
    monkeypatch.setattr("fuzz.MAX_SECONDS", 0.2)

    def fit(self, X, y, **rest):
        while True:
            np.sqrt(2.0)

    monkeypatch.setattr(QNewtonRegressor, "fit", fit)
    assert [v.promise for v in check(Case()).violations] == ["every fit ends"]


def test_a_violation_is_shrunk_to_the_settings_that_cause_it(monkeypatch):
    good = QNewtonRegressor.fit

    def fit(self, X, y, **rest):
        if self.alpha == 1.0:
            raise TypeError("one")
        return good(self, X, y, **rest)

    monkeypatch.setattr(QNewtonRegressor, "fit", fit)
    case = Case(n=30, X="collinear", weights="ones", settings={"alpha": "1.0", "tol": "1.0", "max_iter": "2"})
    small = shrink(case, check(case).violations[0])
    assert small == Case(n=1, settings={"alpha": "1.0"})


def test_a_run_reports_its_progress():
    lines = []
    refusals, endings, groups = fuzz(seed=0, fits=6, report=lines.append)
    assert sum(endings.values()) == 6
    assert lines[-1].startswith("6 of 6 cases")
