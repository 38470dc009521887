"""Nets, losses and data that all numerical tests share."""

from collections import namedtuple
from dataclasses import dataclass, replace
from typing import Any

import autograd.numpy as anp
import numpy as np
from scipy import sparse

from qnewton_sk.nets.activations import resolve_activation
from qnewton_sk.nets.losses import CustomLoss, LogisticCrossEntropy, SoftmaxCrossEntropy, resolve_loss
from qnewton_sk.nets.network import Network
from qnewton_sk.nets.objective import CHUNK_BYTES, Objective

Data = namedtuple("Data", "X y sample_weight")
CLASSIFICATION = {"log_loss": SoftmaxCrossEntropy, "binary_log_loss": LogisticCrossEntropy}


def bump(z):
    """A user's own activation."""
    return z * anp.exp(-0.5 * z**2)


def log_cosh_sum(y, z):
    """A user's own loss, outputs coupled and not convex in them."""
    return (
        anp.log(anp.cosh(anp.sum(z - y, axis=1)))
        + 0.1 * anp.sin(z[:, 0])
        + 0.3 * anp.mean((z - y) ** 2, axis=1)
    )


@dataclass(frozen=True)
class Case:
    """One net on one set of data; everything follows from the fields and the seed."""

    name: str
    widths: tuple
    activations: tuple = ()
    loss: Any = "squared_error"
    n: int = 23
    alpha: float = 0.3
    weights: str = "none"
    density: float = 1.0
    dead_inputs: tuple = ()
    is_sparse: bool = False
    classes_present: int | None = None
    dtype: Any = np.float64
    seed: int = 0

    def __str__(self):
        return self.name

    def data(self):
        """X, y, sample_weight."""
        rng = np.random.default_rng(self.seed)
        X = rng.standard_normal((self.n, self.widths[0]))
        X *= rng.random(X.shape) < self.density
        for start, stop in self.dead_inputs:
            X[:, start:stop] = 0
        y = self._targets(rng)
        weight = None
        if self.weights != "none":
            weight = rng.uniform(0.1, 3, self.n)
            if self.weights == "zeros":
                weight[::3] = 0
        X = sparse.csr_array(X) if self.is_sparse else X
        return Data(X.astype(self.dtype), y.astype(self.dtype), weight)

    def _targets(self, rng):
        K = self.widths[-1]
        if self.loss == "log_loss":
            return np.eye(K)[rng.integers(self.classes_present or K, size=self.n)]
        if self.loss == "binary_log_loss":
            return rng.integers(2, size=(self.n, K)).astype(float)
        if self.loss == "poisson":
            return rng.poisson(1.5, (self.n, K)).astype(float)
        return 2 * rng.standard_normal((self.n, K))

    def network(self):
        """The package's net."""
        loss = CLASSIFICATION[self.loss]() if self.loss in CLASSIFICATION else None
        if loss is None:
            loss = resolve_loss(self.loss) if isinstance(self.loss, str) else CustomLoss(self.loss)
        return Network(self.widths, [resolve_activation(f) for f in self.activations], loss)

    def objective(self, chunk_bytes=CHUNK_BYTES):
        """The package's objective."""
        data = self.data()
        return Objective(self.network(), data.X, data.y, data.sample_weight, self.alpha, chunk_bytes)

    def theta(self):
        """Parameters far from zero, so that every activation is nonlinear there."""
        rng = np.random.default_rng(self.seed + 1)
        return rng.normal(0, 0.7, self.network().n_params).astype(self.dtype)

    def but(self, **changes):
        """The same case with some fields changed."""
        return replace(self, **changes)


def _by_activation(f):
    name = f if isinstance(f, str) else f.__name__
    return Case(f"two hidden {name}", (4, 3, 5, 2), (f, f))


NETS = [
    Case("linear", (5, 3)),
    Case("linear softmax", (5, 3), loss="log_loss"),
    Case("one hidden", (4, 5, 2), ("tanh",), "log_loss"),
    Case("three hidden", (3, 4, 2, 5, 3), ("tanh", "softplus", "logistic"), "log_loss"),
    Case("four hidden", (3, 2, 4, 3, 4, 2), ("tanh", "silu", "relu", "gelu"), "squared_error"),
    Case("four hidden, one output", (3, 4, 3, 2, 4, 1), ("tanh",) * 4),
    Case("one wide hidden", (2, 9, 3), ("tanh",), "log_loss"),
    Case("wide input", (40, 3, 4, 3), ("tanh", "tanh"), "log_loss", n=30),
]
ACTIVATED = [
    _by_activation(f) for f in ("identity", "logistic", "tanh", "relu", "softplus", "silu", "gelu", bump)
]
LOSSES = [
    Case("softmax, two classes", (4, 3, 3, 2), ("tanh", "tanh"), "log_loss"),
    Case("binary", (4, 3, 3, 1), ("tanh", "tanh"), "binary_log_loss"),
    Case("multilabel", (4, 3, 3, 3), ("tanh", "tanh"), "binary_log_loss"),
    Case("squared error, one output", (4, 3, 3, 1), ("tanh", "tanh"), "squared_error"),
    Case("poisson", (4, 3, 3, 1), ("tanh", "tanh"), "poisson"),
    Case("poisson, two outputs", (4, 3, 3, 2), ("tanh", "tanh"), "poisson"),
    Case("huber", (4, 3, 3, 2), ("tanh", "tanh"), "huber"),
    Case("own loss", (4, 3, 3, 3), ("tanh", "tanh"), log_cosh_sum),
    Case("own loss, one output", (4, 3, 3, 1), ("tanh", "tanh"), log_cosh_sum),
]
DATA = [
    Case("weighted", (4, 3, 3, 3), ("tanh", "tanh"), "log_loss", weights="positive"),
    Case("weighted, some zero", (4, 3, 3, 1), ("tanh", "silu"), weights="zeros"),
    Case("one sample", (4, 3, 3, 3), ("tanh", "tanh"), "log_loss", n=1),
    Case("a class is missing", (4, 3, 3, 4), ("tanh", "tanh"), "log_loss", n=12, classes_present=2),
    Case("no penalty", (4, 3, 3, 2), ("tanh", "tanh"), alpha=0.0),
    Case("sparse inputs", (12, 3, 3, 2), ("tanh", "tanh"), "log_loss", is_sparse=True, density=0.3),
    Case("inputs that are always zero", (12, 3, 2), ("tanh",), "log_loss", n=5, density=0.2),
    Case("zero stretches", (50, 2, 3, 2), ("tanh", "tanh"), dead_inputs=((0, 5), (12, 30), (48, 50))),
    Case("many classes", (9, 4, 3, 12), ("tanh", "tanh"), "log_loss", n=40, weights="zeros", density=0.4),
    Case("mostly zero", (45, 3, 2, 2), ("tanh", "tanh"), "log_loss", density=0.02, dead_inputs=((9, 20),)),
]
CASES = NETS + ACTIVATED + LOSSES + DATA
"""Every net, activation, loss and kind of data; small enough for automatic differentiation."""

SINGLE_PRECISION = [
    case.but(name=f"{case.name}, float32", dtype=np.float32)
    for case in (NETS[3], NETS[4], LOSSES[1], LOSSES[6], DATA[0])
]


def relative_error(got, truth):
    """Largest error in units of the largest entry of the truth."""
    return np.abs(np.asarray(got, np.float64) - truth).max() / np.abs(truth).max()
