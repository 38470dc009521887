"""Wrong calls of every public function and constructor: an error that names the argument as the user wrote it.

The message says what the argument must be and what was given, and comes before any work.
"""

import re

import numpy as np
import pytest
from scipy import sparse

from qnewton_sk import (
    QLSA,
    AutoCurvature,
    Backend,
    ConditionNumber,
    EmpiricalFisher,
    FixedStep,
    GaussNewton,
    Hessian,
    HessianDisplay,
    LineSearch,
    LossCurveDisplay,
    QNewtonClassifier,
    QNewtonRegressor,
    QuantumAssumptions,
    QuantumCost,
    QuantumHardware,
    Rates,
    RelevanceDisplay,
    ScheduleDisplay,
    Scheduler,
    SystemFacts,
    SystemMatrix,
    TrustRegion,
    UncertaintyDisplay,
    classical_backends,
    condition_number,
    default_backends,
    evidence_score,
    logical_qubits,
    oracle_sparsity,
    prune_symmetric,
    quantum_backend,
    query_count,
)
from qnewton_sk.conditioning import extreme_eigenvalues, inertia, spectral_density, spectrum_table
from qnewton_sk.machine import FLOPS
from qnewton_sk.reports import compare_runs, regularization_tradeoff, sparsity_tradeoff, step_table
from qnewton_sk.solvers import LU, DirectCost

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 3))
Y = np.arange(12) % 3
T = X[:, 0] + 0.1 * RNG.standard_normal(12)
H = np.diag([3.0, 2.0, 1.0])
ASYMMETRIC = np.array([[1.0, 2.0], [0.0, 1.0]])
NAN = np.array([[1.0, np.nan], [np.nan, 1.0]])
FACTS = SystemFacts(n=10, kappa=10.0)
RATES = dict.fromkeys(FLOPS, [(10, 1e9), (1000, 1e10)])

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def fitted():
    """A classifier and a regressor, by name."""
    settings = dict(hidden_layer_sizes=(2,), max_iter=3, random_state=0)
    return {
        "classifier": QNewtonClassifier(**settings).fit(X, Y),
        "regressor": QNewtonRegressor(**settings).fit(X, T),
    }


@pytest.fixture
def no_work(monkeypatch):
    """Make any use of the loop an error that is not a ValueError."""

    def run(*args, **kwargs):
        raise AssertionError("the loop was started")

    monkeypatch.setattr("qnewton_sk.optimize.newton.Newton.run", run)


def wrong(function, name, *values, **good):
    """One case per value: `function` with its good arguments, that of this name replaced."""
    label = getattr(function, "__name__", str(function))
    for value in values:
        yield f"{label}-{name}-{shown(value)}", name, value, (lambda v=value: function(**(good | {name: v})))


def shown(value):
    """A value as the message has to show it; None for arrays, of which the message tells what is wrong."""
    if isinstance(value, np.ndarray) or sparse.issparse(value) or type(value).__repr__ is object.__repr__:
        return type(value).__name__
    return repr(value)


def classify(**settings):
    """Fit a classifier whose settings may be wrong."""
    QNewtonClassifier((2,)).set_params(**settings).fit(X, Y)


def regress(**settings):
    """Fit a regressor whose settings may be wrong."""
    QNewtonRegressor((2,)).set_params(**settings).fit(X, T)


def fit_classifier(X=X, y=Y, **arguments):
    """Fit a good classifier to data that may be wrong."""
    QNewtonClassifier((2,)).fit(X, y, **arguments)


def fit_regressor(X=X, y=T, **arguments):
    """Fit a good regressor to data that may be wrong."""
    QNewtonRegressor((2,)).fit(X, y, **arguments)


def step(control, **settings):
    """Fit with a step control of these settings."""
    regress(step_control=control(**settings))


def scheduled(**settings):
    """Fit with a scheduler of these settings."""
    regress(scheduler=Scheduler(**settings))


def emulated(**settings):
    """Fit with an emulated quantum solver of these settings."""
    regress(scheduler=Scheduler([quantum_backend("attosecond", **settings)]))


def offered(**settings):
    """Fit with the backends of these settings."""
    regress(scheduler=Scheduler(default_backends(**settings)))


def backend(**settings):
    """Fit with a backend of these settings."""
    good = dict(name="mine", solver=LU(), cost=DirectCost("lu"), kind="classical")
    regress(scheduler=Scheduler([Backend(**(good | settings))]))


def priced(**settings):
    """A price by a cost model of these settings."""
    QuantumCost(**settings)(FACTS, 1e-2)


def machine(**settings):
    """A price on a machine of these settings."""
    QuantumCost(hardware=QuantumHardware(**settings))(FACTS, 1e-2)


def charged(**settings):
    """A price under assumptions of these settings."""
    QuantumCost(assumptions=QuantumAssumptions(**settings))(FACTS, 1e-2)


def curved(curvature, **settings):
    """Fit with a curvature of these settings."""
    regress(curvature=curvature(**settings))


def named(function, **fixed):
    """The function with some arguments fixed, under its own name."""

    def call(**arguments):
        return function(**(fixed | arguments))

    call.__name__ = getattr(function, "__name__", str(function))
    if "control" in fixed or "curvature" in fixed:
        call.__name__ = fixed.get("control", fixed.get("curvature")).__name__
    return call


def table(**columns):
    """The history of a run."""
    return {"step": [1, 2], "loss": [0.5, 0.25], "phase": ["newton"] * 2} | columns


def facts(**changes):
    """Facts of a system."""
    return SystemFacts(**({"n": 10} | changes))


CASES = [
    # settings of the estimators
    *wrong(classify, "hidden_layer_sizes", "wide", (0,), (2.5,), None, (3, -1), {"a": 1}),
    *wrong(classify, "activation", "softmax", 3, None, ("tanh", "tanh")),
    *wrong(classify, "alpha", -1.0, "small", None, np.nan, np.inf, 1j),
    *wrong(classify, "curvature", "newton", None, 3, object(), Hessian),
    *wrong(classify, "partition", "block", None, 2),
    *wrong(classify, "regularization", -1.0, "auto", np.inf, None),
    *wrong(classify, "oracle_sparsity", 0, 1.5, "half", -1, np.nan, True),
    *wrong(classify, "condition_number", "kappa", 10.0, None, ConditionNumber),
    *wrong(classify, "scheduler", "fastest", Scheduler, None, 1, [LU()]),
    *wrong(classify, "step_control", "wolfe", None, 0.5, TrustRegion, object()),
    *wrong(classify, "learning_rate_init", 0.0, -1.0, "constant", np.nan),
    *wrong(classify, "first_order_steps", -1, 1.5, None, "all"),
    *wrong(classify, "batch_size", 0, "full", None, 2.5, -1),
    *wrong(classify, "max_iter", 0, 1.5, None, np.inf),
    *wrong(classify, "tol", -1.0, "small", None, np.nan),
    *wrong(classify, "n_iter_no_change", 0, -np.inf, None, 1.5),
    *wrong(classify, "early_stopping", "yes", None, 1),
    *wrong(classify, "validation_fraction", 0.0, 1.0, "some", None, -0.1),
    *wrong(classify, "warm_start", "yes", None),
    *wrong(classify, "checkpoint", 1.5, "/no/such/folder/fit.ckpt"),
    *wrong(classify, "diagnostics", "full", None, 2),
    *wrong(classify, "shuffle", None, "yes"),
    *wrong(classify, "random_state", "seed", -1, 1.5, [1, 2]),
    *wrong(classify, "verbose", -1, "loud", None),
    *wrong(classify, "class_weight", "equal", 2.0, {0: -1.0}, {7: 1.0}, [1.0, 1.0, 1.0]),
    *wrong(classify, "n_jobs", 0, 1.5, "all"),
    *wrong(classify, "posterior", "diagonal", True, 1),
    *wrong(regress, "loss", "absolute_error", None, 2, QNewtonRegressor),
    *wrong(regress, "alpha", "evidences", -1.0),
    *wrong(named(curved, curvature=Hessian), "partition", "block", None),
    *wrong(named(curved, curvature=GaussNewton), "partition", "block"),
    *wrong(named(curved, curvature=EmpiricalFisher), "partition", "block"),
    *wrong(named(curved, curvature=AutoCurvature), "partition", "block", 3),
    *wrong(named(step, control=FixedStep), "damping", -1.0, "x", np.nan),
    *wrong(named(step, control=FixedStep), "learning_rate", 0.0, "x"),
    *wrong(named(step, control=FixedStep), "clip", 0.0, -1.0, "x"),
    *wrong(named(step, control=FixedStep), "relative", "yes"),
    *wrong(named(step, control=LineSearch), "shrink", 0.0, 1.0, 2.0, "x"),
    *wrong(named(step, control=LineSearch), "max_trials", 0, 1.5),
    *wrong(named(step, control=LineSearch), "damping", -1.0),
    *wrong(named(step, control=TrustRegion), "radius", 0.0, -1.0, np.nan, "x"),
    *wrong(named(step, control=TrustRegion), "damping", -1.0, "x"),
    *wrong(named(step, control=TrustRegion), "accept", -1.0, 1.0, "x"),
    *wrong(named(step, control=TrustRegion), "smallest", -1.0, "x"),
    *wrong(named(step, control=TrustRegion), "learning_rate", 0.0, -1.0),
    # the scheduler and its parts
    *wrong(scheduled, "tol", -1, "x", 0, np.nan, 1.0, True),
    *wrong(scheduled, "rates", "mine", None, 1e9, {"lu": 1e9}),
    *wrong(scheduled, "hardware", "abacus", None, 1e-9),
    *wrong(scheduled, "queries", "grover", None, 3),
    *wrong(scheduled, "assumptions", "optimistic", None, {"loading": "tape"}, {"colour": "red"}),
    *wrong(scheduled, "backends", [], [LU()], "lu", [classical_backends()[0]] * 2),
    *wrong(backend, "name", "", None, 3),
    *wrong(backend, "kind", "analogue", None),
    *wrong(backend, "solver", None, LU, "lu", object()),
    *wrong(backend, "cost", None, "cheap", 1e-9, DirectCost),
    *wrong(emulated, "fidelity", "perfect", None),
    *wrong(emulated, "queries", "grover", 3),
    *wrong(emulated, "readout_error", 0.0, 1.0, "x", -1),
    *wrong(emulated, "refinements", -1, 1.5, "x"),
    *wrong(emulated, "random_state", "seed", -1),
    *wrong(offered, "hardware", "abacus", 3),
    *wrong(offered, "queries", "grover"),
    *wrong(offered, "assumptions", "optimistic"),
    *wrong(offered, "rates", "mine", 3),
    # prices
    *wrong(priced, "queries", "grover", None, 3),
    *wrong(priced, "hardware", "abacus", None),
    *wrong(priced, "assumptions", "optimistic", {"base": "x"}),
    *wrong(machine, "gate_seconds", 0.0, -1.0, "1ns", np.nan, None, np.inf),
    *wrong(machine, "one_qubit_gate_seconds", 0.0, "1ns"),
    *wrong(machine, "readout_seconds", -1.0, "1us"),
    *wrong(machine, "toffoli_seconds", 0.0, "x"),
    *wrong(charged, "alpha", 0.5, "dense", np.inf),
    *wrong(charged, "loading", "tape", None),
    *wrong(charged, "rhs_loading", "tape"),
    *wrong(charged, "readout", "glance"),
    *wrong(charged, "readout_tol", 0.0, 2.0, "x"),
    *wrong(charged, "norm", "guess"),
    *wrong(charged, "refinement_tol", 0.0, "x"),
    *wrong(query_count, "kappa", 0.5, np.inf, np.nan, "x", None, kappa=10.0, tol=1e-2),
    *wrong(query_count, "tol", 0.0, 1.0, np.nan, "x", None, kappa=10.0, tol=1e-2),
    *wrong(query_count, "alpha", 0.5, np.nan, "x", kappa=10.0, tol=1e-2),
    *wrong(query_count, "model", "grover", 3, None, kappa=10.0, tol=1e-2),
    *wrong(logical_qubits, "n", 0, 2.5, "x", None, -1, np.nan),
    *wrong(logical_qubits, "ancillas", -1, 1.5, "x", n=8),
    *wrong(facts, "n", 0, "x", None, 2.5),
    *wrong(facts, "kappa", 0.5, np.nan, "x"),
    *wrong(facts, "row_nonzeros", 0, 11, "x"),
    *wrong(Rates, "flops_per_second", {}, {"lu": [(10, 1e9)]}, None, 1e9, flops_per_second=RATES),
    *wrong(Rates, "bytes_per_second", 0.0, "x", np.inf, flops_per_second=RATES),
    *wrong(Rates, "call_seconds", -1.0, "x", flops_per_second=RATES),
    *wrong(Rates, "single_speed", 0.0, "x", flops_per_second=RATES),
    # matrices
    *wrong(condition_number, "H", ASYMMETRIC, NAN, np.ones(3), np.ones((2, 3)), np.eye(0), 1j * H),
    *wrong(condition_number, "H", sparse.csr_array(ASYMMETRIC), np.array([["a", "b"], ["b", "a"]])),
    *wrong(condition_number, "method", "kappa", None, 3, object(), H=H),
    *wrong(ConditionNumber, "kind", "guess", None, value=1.0, kind="exact"),
    *wrong(ConditionNumber, "value", "x", None, value=1.0, kind="exact"),
    *wrong(oracle_sparsity, "H", NAN, np.ones(3), 1j * H, np.array([["a"]])),
    *wrong(oracle_sparsity, "fraction", 0.0, 1.5, -0.5, np.nan, "half", None, [0.5, 2.0], H=H),
    *wrong(prune_symmetric, "H", ASYMMETRIC, NAN, np.ones(3), np.ones((2, 3)), 1j * H, H=H, d=1),
    *wrong(prune_symmetric, "d", 0, 4, 1.5, "half", np.nan, -1, True, H=H),
    *wrong(prune_symmetric, "keep", 0.0, 1.5, np.nan, "most", True, H=H),
    *wrong(prune_symmetric, "output", "list", None, H=H, d=1),
    *wrong(prune_symmetric, "keep_diagonal", "yes", None, H=H, d=1),
    *wrong(SystemMatrix.from_entries, "H", ASYMMETRIC, np.ones(3)),
    *wrong(inertia, "H", ASYMMETRIC, NAN, np.ones(3)),
    *wrong(extreme_eigenvalues, "H", ASYMMETRIC, NAN, np.ones(3)),
    *wrong(spectral_density, "H", ASYMMETRIC, NAN, np.ones(3)),
    *wrong(spectrum_table, "H", ASYMMETRIC, NAN, np.ones(3)),
    # reports
    *wrong(HessianDisplay.from_matrix, "matrix", ASYMMETRIC, NAN, np.ones(3), "x", None),
    *wrong(HessianDisplay.from_matrix, "kind", "shape", None, matrix=H),
    *wrong(LossCurveDisplay.from_history, "by", "day", None, history=table()),
    *wrong(LossCurveDisplay.from_history, "history", {}, None, {"step": [1]}),
    *wrong(ScheduleDisplay.from_history, "history", {}, None, table()),
    *wrong(step_table, "columns", ["colour"], "loss", 3, history=table()),
    *wrong(compare_runs, "histories", {}, None, {"Newton": {}}),
    *wrong(
        named(regularization_tradeoff, estimator=QNewtonClassifier(), X=X, y=Y, X_test=X, y_test=Y),
        "regularizations",
        [],
        1.0,
    ),
    *wrong(
        named(sparsity_tradeoff, estimator=QNewtonClassifier(), X=X, y=Y, X_test=X, y_test=Y),
        "sparsities",
        [],
        2,
    ),
    *wrong(evidence_score, "estimator", None, QNewtonRegressor),
    # data
    *wrong(fit_classifier, "X", X * np.nan, X[:, 0], X[None], None, 1j * X, X[:0], X[:5]),
    *wrong(fit_classifier, "y", None, Y[:5], T, np.zeros(12, int), np.column_stack([Y, Y]), Y * np.nan),
    *wrong(fit_regressor, "y", None, T[:5], T + np.inf, T[:, None, None]),
    *wrong(fit_classifier, "sample_weight", -np.ones(12), np.zeros(12), np.ones(5), Y * np.nan, 1j * T),
    *wrong(fit_regressor, "sample_weight", np.ones((12, 2)), np.array(["a"] * 12), -1.0, [None] * 12),
    *wrong(fit_classifier, "X_val", X[:, :2], X * np.nan, X[:, 0], None, X_val=X, y_val=Y),
    *wrong(fit_classifier, "y_val", Y + 7, Y[:5], None, X_val=X, y_val=Y),
    *wrong(fit_regressor, "y_val", T[:5], T * np.nan, None, np.column_stack([T, T]), X_val=X, y_val=T),
]
"""(id, name of the wrong argument, its value, the call)."""


def parameters():
    """The cases; the number makes labels unique that differ in an array alone."""
    seen = {}
    for label, name, value, call in CASES:
        if label.endswith("ndarray"):
            seen[label] = seen.get(label, -1) + 1
            label += str(seen[label])
        yield pytest.param(name, value, call, id=label)


@pytest.mark.parametrize("name, value, call", list(parameters()))
def test_a_wrong_argument_is_named_with_what_it_must_be_and_what_was_given(no_work, name, value, call):
    with pytest.raises(ValueError) as raised:
        call()
    message = str(raised.value)
    if name in ("X", "y") and "qnewton_sk" not in raised.traceback[-1].path.parts:
        assert re.search(rf"\b{name}\b|array|sample|label|[Cc]omplex", message), (
            message
        )  # scikit-learn's own words
        return
    assert re.search(rf"`[^`]*\b{name}\b[^`]*`", message), f"`{name}` is not named: {message}"
    assert "must" in message, message
    given = (
        ""
        if isinstance(value, (dict, list, tuple)) or shown(value) != repr(value)
        else re.escape(repr(value))
    )
    assert re.search(f"got .*{given}", message, flags=re.S), message


@pytest.mark.parametrize(
    "call",
    [
        QNewtonClassifier,
        QNewtonRegressor,
        Scheduler,
        QuantumCost,
        QuantumHardware,
        QuantumAssumptions,
        QLSA,
        TrustRegion,
        LineSearch,
        FixedStep,
        Hessian,
        AutoCurvature,
        lambda **unknown: condition_number(H, **unknown),
        lambda **unknown: prune_symmetric(H, 1, **unknown),
        lambda **unknown: query_count(10.0, 1e-2, **unknown),
    ],
    ids=lambda call: getattr(call, "__name__", "call"),
)
def test_an_unknown_keyword_is_named(call):
    with pytest.raises(TypeError, match="solver"):
        call(solver="sgd")


# -- fitted estimators ---------------------------------------------------------------------------------------

METHODS = {
    "predict": lambda net: net.predict(X),
    "score": lambda net: net.score(X, Y),
    "hessian": lambda net: net.hessian(X, Y),
    "ScheduleDisplay": ScheduleDisplay.from_estimator,
    "LossCurveDisplay": LossCurveDisplay.from_estimator,
    "HessianDisplay": lambda net: HessianDisplay.from_estimator(net, X, Y),
    "RelevanceDisplay": RelevanceDisplay.from_estimator,
    "UncertaintyDisplay": lambda net: UncertaintyDisplay.from_estimator(net, X),
    "evidence_score": evidence_score,
}


@pytest.mark.parametrize("method", list(METHODS))
def test_an_unfitted_estimator_is_said_to_be_so(method):
    with pytest.raises(ValueError, match="not fitted|fitted first|call fit|must be fitted"):
        METHODS[method](QNewtonRegressor())


@pytest.mark.parametrize("kind", [True, "mean"])
def test_standard_deviations_without_a_posterior_name_the_way_out(fitted, kind):
    with pytest.raises(ValueError, match="posterior"):
        fitted["regressor"].predict(X, return_std=kind)


@pytest.mark.parametrize("curvature", ["newton", None, 3])
def test_hessian_names_its_curvature(fitted, curvature):
    with pytest.raises(ValueError, match=re.escape(f"got {curvature!r}")) as raised:
        fitted["regressor"].hessian(X, T, curvature=curvature)
    assert "`curvature` must" in str(raised.value)


@pytest.mark.parametrize("data", [X[:, :2], X * np.nan, X[:, 0], None])
@pytest.mark.parametrize("which", ["classifier", "regressor"])
def test_predict_refuses_wrong_inputs(fitted, which, data):
    with pytest.raises(ValueError, match="X|array|features"):
        fitted[which].predict(data)


@pytest.mark.parametrize("classes", [None, "x", 3, [0]])
def test_partial_fit_names_classes(no_work, classes):
    with pytest.raises(ValueError, match="`classes` must"):
        QNewtonClassifier((2,)).partial_fit(X, Y, classes=classes)
