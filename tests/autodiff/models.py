"""Models and data that the tests of `minimize` share."""

import autograd.numpy as np
import numpy

from qnewton_sk.autodiff import AutogradObjective, GivenLosses, Layout, Problem
from qnewton_sk.nets import LogisticCrossEntropy, SoftmaxCrossEntropy, linear_layer, resolve_loss


def mixed(params, X):
    """A net with a shared layer, a gate without a linear layer, and positions along a middle axis: two outputs."""
    hidden = np.tanh(linear_layer(X, params["in"][0], params["in"][1]))
    hidden = np.tanh(linear_layer(hidden, params["shared"]))
    hidden = np.tanh(linear_layer(hidden, params["shared"])) * (1 + params["gate"])
    return np.mean(linear_layer(hidden, params["out"]["w"], params["out"]["b"]), axis=1)


def parameters(seed=0):
    rng = numpy.random.default_rng(seed)
    return {
        "in": [rng.standard_normal((3, 4)), rng.standard_normal(4)],
        "shared": rng.standard_normal((4, 4)) / 2,
        "gate": rng.standard_normal(4) / 3,
        "out": {"w": rng.standard_normal((4, 2)), "b": rng.standard_normal(2)},
    }


def squares(params, X, y):
    return 0.5 * np.mean((mixed(params, X) - y) ** 2, axis=1)


def inputs(n=7, seed=1):
    return numpy.random.default_rng(seed).standard_normal((n, 5, 3))


LOSSES = {
    "squared_error": (resolve_loss("squared_error"), lambda rng, n: rng.standard_normal((n, 2))),
    "poisson": (resolve_loss("poisson"), lambda rng, n: rng.poisson(2.0, (n, 2)).astype(float)),
    "huber": (resolve_loss("huber"), lambda rng, n: 3 * rng.standard_normal((n, 2))),
    "log_loss": (SoftmaxCrossEntropy(), lambda rng, n: numpy.eye(2)[rng.integers(2, size=n)]),
    "binary_log_loss": (LogisticCrossEntropy(), lambda rng, n: rng.integers(2, size=(n, 2)).astype(float)),
}


def objective(loss="squared_error", n=7, partition="full", chunk_size=None, alpha=0.3, first_order=()):
    """The objective of the mixed model; loss=None is that of a function that returns squared errors."""
    layout = Layout(parameters(), partition, first_order)
    penalties = numpy.full(layout.n_params, alpha)
    rng = numpy.random.default_rng(2)
    if loss is None:
        data = (inputs(n), LOSSES["squared_error"][1](rng, n))
        return AutogradObjective(Problem(squares, layout, GivenLosses(), penalties, chunk_size), data)
    part, targets = LOSSES[loss]
    problem = Problem(mixed, layout, part, penalties, chunk_size)
    return AutogradObjective(problem, (inputs(n),), targets(rng, n))
