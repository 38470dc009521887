"""The net on a flat parameter vector, and the objective on data.

Conventions
-----------
n samples, layers 1..L of widths h_0 (inputs) .. h_L (outputs K). Inside, units come first and samples last,
so that elementwise operations run along the samples whatever the widths: a_0 = X^T, abar = [a; 1],
z_l = Wbar_l^T abar_{l-1} with Wbar_l = [W_l; b_l] of shape (h_{l-1} + 1, h_l), a_l = f_l(z_l); z_L is raw.
theta is Wbar_1, .., Wbar_L one after the other, each in C order, so that dJ/dWbar_l = abar_{l-1} delta_l^T
is written straight into its place. Sample weights w sum to one and enter through delta_L and the loss's
Hessian alone; everything further back is linear in them.

J(theta) = sum_n w_n loss_n + alpha / (2 sum_n s_n) sum_l ||W_l||^2, as in scikit-learn's MLP.
"""

import copy
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from scipy import sparse
from sklearn.utils import gen_even_slices

from qnewton_sk.machine import run_tasks, threads_for

from .network import Network

CHUNK_BYTES = 2**28
"""Activations kept at once; what exceeds this is computed again when it is needed."""

CACHE_BYTES = 2**24
"""Activations of one chunk of samples: half of a usual last-level cache, so that the elementwise passes over
them need not go to memory."""

PARTIAL_SUMS = 8
"""Gradients that are added up in the end. Their number, not that of the threads, says which chunks are added to
which, so that losses and gradients come out the same to the last bit on any number of threads."""


@dataclass
class Pass:
    """What one chunk of samples left at one theta: a forward pass, a backward one, derivatives as needed.

    Arrays have units first and samples last. `inputs` are abar_0, .., abar_{L-1}, the first one a sparse array
    (samples, h_0 + 1) where X is sparse; `z` the pre-activations z_1, .., z_L; `deltas` are the gradients in
    z_1, .., z_L, sample weights included; `errors` e_l are those in a_l. `weight` is (n,) or a number; `start` is the
    first sample's place in the data.
    Targets y and predictions, which the losses work on, have the shape (n, K).
    """

    network: Network
    layers: list
    weight: object
    y: np.ndarray
    inputs: list
    z: list
    start: int = 0
    deltas: list | None = None
    errors: list = field(default_factory=list)
    _value: float | None = None
    _prediction: np.ndarray | None = None

    @property
    def n_samples(self):
        """Samples in the chunk."""
        return self.z[-1].shape[1]

    @property
    def raw(self):
        """The raw outputs of shape (n, K)."""
        return self.z[-1].T

    @cached_property
    def slopes(self):
        """f'_l(z_l) for the hidden layers, each of shape (h_l, n)."""
        hidden = zip(self.network.activations, self.z, self.inputs[1:])
        return [f.slope(z, abar[:-1]) for f, z, abar in hidden]

    @cached_property
    def bends(self):
        """f''_l(z_l) for the hidden layers, None where it is zero everywhere."""
        hidden = zip(self.network.activations, self.z, self.inputs[1:], self.slopes)
        return [f.bend and f.bend(z, abar[:-1], slope) for f, z, abar, slope in hidden]

    @cached_property
    def loss_curvature(self):
        """What the loss needs for products with its Hessian in z_L (weights not included)."""
        return self.network.loss.curvature(self.raw, self.y, self.prediction)

    def value(self):
        """Return the weighted sum of the chunk's losses."""
        if self._value is None:
            losses, self._prediction = self.network.loss.evaluate(self.raw, self.y)
            weighted = (
                losses @ self.weight if isinstance(self.weight, np.ndarray) else losses.sum() * self.weight
            )
            self._value = float(weighted)
        return self._value

    @property
    def prediction(self):
        """The prediction of shape (n, K)."""
        self.value()
        return self._prediction

    def backward(self):
        """Fill `deltas` and `errors`, once."""
        if self.deltas is not None:
            return
        delta = np.multiply(
            self.network.loss.gradient(self.raw, self.y, self.prediction).T, self.weight, order="C"
        )
        deltas, errors = [delta], []
        for W, slope in zip(self.layers[:0:-1], self.slopes[::-1]):
            errors.append(W[:-1] * delta if len(delta) == 1 else W[:-1] @ delta)
            delta = errors[-1] * slope
            deltas.append(delta)
        self.deltas, self.errors = deltas[::-1], errors[::-1]

    def gradient(self, out):
        """Add the chunk's part of the gradient to `out` of shape (n_params,)."""
        self.backward()
        for part, abar, delta in zip(self.network.layer_slices, self.inputs, self.deltas):
            abar = abar if isinstance(abar, np.ndarray) else abar.T
            out[part] += (abar @ delta.T).ravel()


class Objective:
    """J(theta) on fixed data: value, gradient, linearisation; adds over chunks of samples.

    Parameters
    ----------
    network : Network
        The net and its loss.
    X : ndarray or sparse array of shape (n, h_0)
        Inputs; float32 or float64 sets the precision of everything.
    y : ndarray of shape (n, K)
        Encoded targets.
    sample_weight : ndarray of shape (n,), default=None
        Nonnegative; by default all one.
    alpha : float or ndarray of shape (n_params,), default=0.0
        L2 penalty on the weights; an array holds the penalty of each parameter, intercepts included.
    chunk_bytes : int, default=CHUNK_BYTES
        Memory for the activations of one chunk.
    dtype : dtype, default=None
        The precision of everything; by default that of X.
    """

    def __init__(self, network, X, y, sample_weight=None, alpha=0.0, chunk_bytes=CHUNK_BYTES, dtype=None):
        if sparse.issparse(X) and X.shape[0] * X.shape[1] * X.dtype.itemsize <= chunk_bytes:
            X = X.toarray()  # where it fits, dense products are the faster ones
        self.network, self.X, self.y = network, X, np.asfortranarray(y)
        self.sample_weight, self.alpha, self.chunk_bytes = sample_weight, alpha, chunk_bytes
        self.n_samples, self.n_params = X.shape[0], network.n_params
        self.dtype = X.dtype if dtype is None else np.dtype(dtype)
        total = float(self.n_samples if sample_weight is None else sample_weight.sum())
        self.total_weight = total
        self._weight = 1.0 / total if sample_weight is None else (sample_weight / total).astype(self.dtype)
        self._slices = self._cut()
        self._inputs = [None] * len(self._slices)
        self._last = self._single = None
        self.memo = {}  # what follows from X alone, kept by the curvature from step to step
        self.penalties = self._penalties_of(alpha)

    def _penalties_of(self, alpha):
        """What multiplies theta^2 / 2 in J, shape (n_params,)."""
        each = alpha * self.network.penalised if np.ndim(alpha) == 0 else np.asarray(alpha)
        return (each / self.total_weight).astype(self.dtype, copy=False)

    def _cut(self):
        per_sample = 6 * self.dtype.itemsize * (sum(self.network.widths[1:]) + 1)
        self._keeps = per_sample * self.n_samples <= self.chunk_bytes
        size = max(min(self.n_samples, int(min(CACHE_BYTES, self.chunk_bytes) // per_sample)), 1)
        return list(gen_even_slices(self.n_samples, -(-self.n_samples // size)))

    def _chunk_inputs(self, index):
        """Return abar_0 of a chunk; kept where all the inputs fit the budget, since every pass asks again."""
        if self._inputs[index] is None:
            inputs = _augment(self.X[self._slices[index]], self.dtype)
            if self.X.shape[0] * self.X.shape[1] * self.dtype.itemsize > 8 * self.chunk_bytes:
                return inputs
            self._inputs[index] = inputs
        return self._inputs[index]

    def batch(self, indices):
        """Return the objective on some of the samples, normalised by their weights."""
        weight = None if self.sample_weight is None else self.sample_weight[indices]
        same = self.alpha, self.chunk_bytes, self.dtype
        return Objective(self.network, self.X[indices], self.y[indices], weight, *same)

    def with_alpha(self, alpha):
        """Return the objective with another penalty, which shares the data and the passes over them."""
        other = copy.copy(self)
        other.alpha, other._single = alpha, None
        other.penalties = self._penalties_of(alpha)
        return other

    def single(self):
        """Return the same objective in single precision, made once; it holds no X of its own."""
        if self._single is None:
            same = (
                self.network,
                self.X,
                self.y.astype(np.float32),
                self.sample_weight,
                self.alpha,
                self.chunk_bytes,
            )
            self._single = Objective(*same, dtype=np.float32)
        return self._single

    def _forward(self, index, layers):
        rows = self._slices[index]
        weight = self._weight[rows] if isinstance(self._weight, np.ndarray) else self._weight
        inputs, pre = [self._chunk_inputs(index)], []
        for layer, W in enumerate(layers):
            a = inputs[-1]
            pre.append(W.T @ a if isinstance(a, np.ndarray) else np.ascontiguousarray((a @ W).T))
            if layer < len(layers) - 1:
                inputs.append(self._activate(layer, pre[-1]))
        return Pass(self.network, layers, weight, self.y[rows], inputs, pre, rows.start)

    def _activate(self, layer, z):
        """Return [f(z); 1]; tanh is written in place since it is the default."""
        f = self.network.activations[layer]
        abar = np.empty((len(z) + 1, z.shape[1]), z.dtype)
        if f.value is np.tanh:
            np.tanh(z, out=abar[:-1])
        else:
            abar[:-1] = f.value(z)
        abar[-1] = 1
        return abar

    def _at(self, theta):
        """Return the passes at theta, None for those still to be done; they are kept when there is room."""
        if self._last is not None and (self._last[0] == theta).all():
            return self._last
        self._last = None  # the old passes go before the new ones come
        theta = theta.copy()
        found = theta, self.network.layers(theta), [None] * len(self._slices)
        if self._keeps:
            self._last = found
        return found

    def _pass(self, index, found):
        _, layers, passes = found
        p = passes[index] or self._forward(index, layers)
        if self._keeps:
            passes[index] = p
        return p

    def over_chunks(self, theta, work, out):
        """Call ``work(pass, part)`` for all chunks, on threads where it pays; return the sum of what it returns.

        `part` is an array like `out`, to which what `work` adds to it goes in the end (None where there is none).
        """
        found, count = self._at(theta), len(self._slices)
        if count == 1:
            return work(self._pass(0, found), out)
        groups = list(gen_even_slices(count, min(count, PARTIAL_SUMS)))
        parts = [None if out is None else np.zeros_like(out) for _ in groups]
        values = [0.0] * len(groups)

        def task(group, _):
            for index in range(groups[group].start, groups[group].stop):
                values[group] += work(self._pass(index, found), parts[group])

        flops = 6.0 * self.n_samples * self.n_params
        run_tasks([partial(task, group) for group in range(len(groups))], [None] * threads_for(flops), flops)
        if out is not None:
            for part in parts:
                out += part
        return sum(values)

    def value(self, theta):
        """Return J(theta)."""
        penalty = 0.5 * float(theta @ (self.penalties * theta))
        with np.errstate(over="ignore", invalid="ignore"):
            return self.over_chunks(theta, _value, None) + penalty

    def value_and_grad(self, theta):
        """Return J(theta) and its gradient of shape (n_params,)."""
        gradient = self.penalties * theta
        penalty = 0.5 * float(theta @ gradient)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.over_chunks(theta, _value_and_grad, gradient) + penalty, gradient

    def passes(self, theta):
        """Yield each chunk's `Pass` with the backward direction done."""
        found = self._at(theta)
        for index in range(len(self._slices)):
            p = self._pass(index, found)
            p.backward()
            yield p


def _value(p, _):
    return p.value()


def _value_and_grad(p, out):
    value = p.value()
    p.gradient(out)
    return value


def _augment(X, dtype):
    """Return [X^T; 1], or [X, 1] of a sparse X."""
    if sparse.issparse(X):
        return sparse.hstack([X, np.ones((X.shape[0], 1), dtype)], format="csr", dtype=dtype)
    out = np.empty((X.shape[1] + 1, X.shape[0]), dtype)
    out[:-1] = X.T
    out[-1] = 1
    return out
