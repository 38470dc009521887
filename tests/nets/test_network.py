"""The net and its objective: against automatic differentiation, repetition, and scikit-learn's MLP."""

import inspect
import warnings

import cases
import numpy as np
import pytest
from oracles import Truth
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from qnewton_sk.curvature.assembly import assemble
from qnewton_sk.machine import threads
from qnewton_sk.nets.activations import resolve_activation
from qnewton_sk.nets.losses import LogisticCrossEntropy, SoftmaxCrossEntropy, resolve_loss
from qnewton_sk.nets.network import Network
from qnewton_sk.nets.objective import Objective

all_cases = pytest.mark.parametrize("case", cases.CASES, ids=str)


@all_cases
@pytest.mark.parametrize("chunk_bytes", [2**28, 1500])
def test_value_and_gradient_are_those_of_autograd(case, chunk_bytes):
    theta, truth, objective = case.theta(), Truth(case), case.objective(chunk_bytes)
    value, gradient = objective.value_and_grad(theta)
    assert value == pytest.approx(truth.value(theta), rel=1e-12)
    assert objective.value(theta) == pytest.approx(value, rel=1e-15)
    assert cases.relative_error(gradient, truth.gradient(theta)) < 1e-12


@all_cases
@pytest.mark.parametrize("chunk_bytes", [2**28, 10_000, 1500])
def test_threads_change_no_bit(case, chunk_bytes, monkeypatch):
    theta = case.theta()
    alone = case.objective(chunk_bytes).value_and_grad(theta)
    monkeypatch.setattr(threads, "MIN_PARALLEL_FLOPS", 0.0)
    with threadpool_limits(2, "blas"):
        objective = case.objective(chunk_bytes)
        assert objective.value(theta) == alone[0]  # kept passes and new ones
        together = objective.value_and_grad(theta)
    assert together[0] == alone[0]
    assert np.array_equal(together[1], alone[1])


def test_only_transient_passes_over_many_chunks_share_their_memory():
    case = cases.NETS[3]
    objective, places = case.objective(1500), {True: [], False: []}
    for transient, found in places.items():
        passes = []

        def work(p, _, found=found, passes=passes):
            passes.append(p)  # alive, so that no other pass gets its memory by chance
            p.backward()
            found += [p.z[0].ctypes.data, p.deltas[0].ctypes.data]
            return 0.0

        objective.over_chunks(case.theta(), work, transient=transient)
    assert objective.n_chunks > 2
    assert len(set(places[True])) == 2
    assert len(set(places[False])) == 2 * objective.n_chunks


@pytest.mark.parametrize("case", cases.SINGLE_PRECISION, ids=str)
def test_single_precision(case):
    theta, truth = case.theta(), Truth(case)
    value, gradient = case.objective().value_and_grad(theta)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(truth.value(theta.astype(float)), rel=1e-5)
    assert cases.relative_error(gradient, truth.gradient(theta.astype(float))) < 1e-5


@pytest.mark.parametrize("case", [cases.NETS[3], cases.NETS[5], cases.LOSSES[2]], ids=str)
def test_a_weight_of_two_is_a_sample_twice(case):
    data, theta = case.data(), case.theta()
    counts = np.random.default_rng(0).integers(0, 4, len(data.X))
    weighted = Objective(case.network(), data.X, data.y, counts.astype(float), case.alpha)
    again = Objective(case.network(), data.X.repeat(counts, 0), data.y.repeat(counts, 0), None, case.alpha)
    (value, gradient), (value2, gradient2) = weighted.value_and_grad(theta), again.value_and_grad(theta)
    assert value == pytest.approx(value2, rel=1e-14)
    np.testing.assert_allclose(gradient, gradient2, rtol=1e-12, atol=1e-15)
    assert cases.relative_error(assemble(weighted, theta), assemble(again, theta)) < 1e-13


@pytest.mark.parametrize("case", [cases.NETS[3], cases.DATA[0], cases.DATA[5]], ids=str)
def test_a_batch_is_the_objective_on_its_samples(case):
    data, theta, rows = case.data(), case.theta(), np.array([3, 1, 8, 1])
    weight = None if data.sample_weight is None else data.sample_weight[rows]
    alone = Objective(case.network(), data.X[rows], data.y[rows], weight, case.alpha)
    assert case.objective().batch(rows).value(theta) == alone.value(theta)


@all_cases
def test_parameters_survive_packing(case):
    network, theta = case.network(), case.theta()
    assert np.array_equal(network.pack(*network.unpack(theta)), theta)


def _mlp(kind, Y, loss, **settings):
    if kind is MLPRegressor and "loss" in inspect.signature(MLPRegressor).parameters:
        settings["loss"] = loss
    model = kind(solver="lbfgs", max_iter=3, alpha=0.7, random_state=0, **settings)
    X = np.random.default_rng(0).standard_normal((30, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return X, model.fit(X, Y)


RNG = np.random.default_rng(1)
LABELS = RNG.integers(3, size=30)
MULTILABEL = RNG.integers(2, size=(30, 3))
TARGETS = RNG.standard_normal((30, 2))
MLPS = {
    "softmax": (MLPClassifier, LABELS, np.eye(3)[LABELS], SoftmaxCrossEntropy(), None),
    "binary": (MLPClassifier, LABELS > 0, (LABELS > 0)[:, None], LogisticCrossEntropy(), None),
    "multilabel": (MLPClassifier, MULTILABEL, MULTILABEL, LogisticCrossEntropy(), None),
    "one output": (
        MLPRegressor,
        TARGETS[:, 0],
        TARGETS[:, :1],
        resolve_loss("squared_error"),
        "squared_error",
    ),
    "two outputs": (MLPRegressor, TARGETS, TARGETS, resolve_loss("squared_error"), "squared_error"),
    "poisson": (MLPRegressor, LABELS.astype(float), LABELS[:, None], resolve_loss("poisson"), "poisson"),
}


@pytest.mark.parametrize("name", MLPS)
@pytest.mark.parametrize("hidden", [(5,), (4, 3)])
def test_the_normalisation_is_scikit_learns(name, hidden):
    kind, Y, encoded, loss, loss_name = MLPS[name]
    if loss_name == "poisson" and "loss" not in inspect.signature(MLPRegressor).parameters:
        pytest.skip("this scikit-learn has no Poisson MLP")
    X, model = _mlp(kind, Y, loss_name, hidden_layer_sizes=hidden, activation="tanh")
    network = Network((4, *hidden, encoded.shape[1]), [resolve_activation("tanh")] * len(hidden), loss)
    objective = Objective(network, X, encoded.astype(float), None, 0.7)
    theta = network.pack(model.coefs_, model.intercepts_)
    assert objective.value(theta) == pytest.approx(model.loss_, rel=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu"])
def test_initial_parameters_are_scikit_learns(activation):
    X = np.random.default_rng(0).standard_normal((30, 4))
    model = MLPClassifier(
        (5, 3), activation=activation, random_state=3, solver="sgd", learning_rate_init=1e-300
    )
    model.partial_fit(X, LABELS, classes=[0, 1, 2])
    network = Network((4, 5, 3, 3), [resolve_activation(activation)] * 2, SoftmaxCrossEntropy())
    theta = network.initial(np.random.RandomState(3))
    np.testing.assert_allclose(theta, network.pack(model.coefs_, model.intercepts_), rtol=1e-15)
