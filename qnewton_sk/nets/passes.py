"""What one chunk of samples gives at one theta: a pass forward and back with what it leaves, or a gradient alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.machine import Workspace

from .activations import Activation, tanh, tanh_derivative
from .inputs import outer_product, weighted_inputs
from .network import Network

Array = NDArray[Any]


@dataclass
class Pass:
    """The net on one chunk of samples at one theta. Arrays have units first and samples last.

    Parameters
    ----------
    network : Network
        The net and its loss.
    layers : list of ndarray
        Wbar_1, .., Wbar_L.
    weight : ndarray of shape (n,) or float
        Weights of the samples, which sum to one over all chunks.
    targets : ndarray of shape (n, K)
        Encoded targets; losses work on samples first.
    inputs : list
        abar_0, .., abar_{L-1}; the first one is a sparse array of shape (n, h_0 + 1) if X is kept sparse.
    z : list of ndarray
        The pre-activations z_1, .., z_L.
    start : int, default=0
        The place of the first sample in the data.
    workspace : Workspace, default=None
        Memory for the arrays that `forward` and `backward` make, which the next pass overwrites; by default their own.

    Attributes
    ----------
    deltas : list of ndarray or None
        The gradients in z_1, .., z_L, sample weights included; None before `backward`.
    errors : list of ndarray
        The gradients in a_1, .., a_{L-1}.
    """

    network: Network
    layers: list[Array]
    weight: Any
    targets: Array
    inputs: list[Any]
    z: list[Array]
    start: int = 0
    workspace: Workspace | None = None
    deltas: Any = None
    errors: list[Array] = field(default_factory=list)
    _value: float | None = None
    _prediction: Array | None = None

    @classmethod
    def forward(
        cls,
        network: Network,
        layers: list[Array],
        inputs: Any,
        targets: Array,
        weight: Any,
        start: int,
        workspace: Workspace | None = None,
    ) -> "Pass":
        """Return the pass of samples with the first layer's inputs abar_0."""
        p = cls(network, layers, weight, targets, [inputs], [], start, workspace)
        for layer, W in enumerate(layers):
            p.z.append(weighted_inputs(p.inputs[-1], W, p._array("z", layer, W.shape[1])))
            if layer < len(layers) - 1:
                p.inputs.append(p._activated(layer))
        return p

    @property
    def n_samples(self) -> int:
        """The number of samples in the chunk."""
        return len(self.targets)

    def _array(self, name: str, layer: int, units: int) -> Array | None:
        """Return uninitialised memory of shape (units, n) from the workspace, or None, for numpy to allocate it."""
        if self.workspace is None:
            return None
        return self.workspace.array(f"{name}{layer}", units, self.n_samples)

    def _activated(self, layer: int) -> Array:
        """Return [f(z); 1]; tanh, the default, writes its values in place."""
        z, f = self.z[layer], self.network.activations[layer]
        abar = self._array("a", layer, len(z) + 1)
        if abar is None:
            abar = np.empty((len(z) + 1, z.shape[1]), z.dtype)
        if f.value is tanh:
            tanh(z, out=abar[:-1])
        else:
            abar[:-1] = f.value(z)
        abar[-1] = 1
        return abar

    def _derivative(self, layer: int) -> Array:
        f, z, a = self.network.activations[layer], self.z[layer], self.inputs[layer + 1][:-1]
        if f.derivative is tanh_derivative:
            return tanh_derivative(z, a, self._array("derivative", layer, len(z)))
        return _derivative(f, z, a)

    @property
    def raw(self) -> Array:
        """The raw outputs of shape (n, K)."""
        return self.z[-1].T

    @cached_property
    def derivatives(self) -> list[Array]:
        """f'_l(z_l) of the hidden layers, each of shape (h_l, n)."""
        return [self._derivative(layer) for layer in range(len(self.layers) - 1)]

    @cached_property
    def second_derivatives(self) -> list[Array | None]:
        """f''_l(z_l) of the hidden layers, None if it is zero almost everywhere."""
        hidden = zip(self.network.activations, self.z, self.inputs[1:], self.derivatives)
        return [f.second_derivative and f.second_derivative(z, abar[:-1], d) for f, z, abar, d in hidden]

    @cached_property
    def loss_curvature(self) -> Array:
        """What the loss needs for products with its Hessian in z_L; weights are not included."""
        return self.network.loss.curvature(self.raw, self.targets, self.prediction)

    def value(self) -> float:
        """Return the weighted sum of the chunk's losses."""
        if self._value is None:
            losses, self._prediction = self.network.loss.evaluate(self.raw, self.targets)
            self._value = _weighted_sum(losses, self.weight)
        return self._value

    @property
    def prediction(self) -> Any:
        """The prediction of shape (n, K)."""
        self.value()
        return self._prediction

    def backward(self) -> None:
        """Fill `deltas` and `errors`, once."""
        if self.deltas is not None:
            return
        delta = np.multiply(
            self.network.loss.gradient(self.raw, self.targets, self.prediction).T, self.weight, order="C"
        )
        deltas, errors = [delta], []
        for layer in range(len(self.layers) - 1, 0, -1):
            W, units = self.layers[layer][:-1], len(self.layers[layer]) - 1
            times = np.multiply if len(delta) == 1 else np.matmul
            errors.append(times(W, delta, out=self._array("error", layer, units)))
            delta = np.multiply(
                errors[-1], self.derivatives[layer - 1], out=self._array("delta", layer, units)
            )
            deltas.append(delta)
        self.deltas, self.errors = deltas[::-1], errors[::-1]

    def gradient(self, out: Array) -> None:
        """Add the chunk's part of the gradient to `out` of shape (n_params,)."""
        self.backward()
        for part, abar, delta in zip(self.network.layer_slices, self.inputs, self.deltas):
            view = out[part]  # `out[part] +=` would also write the sum back onto itself
            view += outer_product(abar, delta).ravel()

    def weights_of(self, rows: slice) -> Any:
        """Return the weights of some of the samples: an array, or one number for all."""
        return self.weight[rows] if isinstance(self.weight, np.ndarray) else self.weight

    def inverse_weights(self, rows: slice) -> Array:
        """Return 1 / w_n for some of the samples, 0 if w_n = 0: products of two deltas hold w_n twice."""
        w = np.broadcast_to(np.asarray(self.weight, self.z[-1].dtype), (self.n_samples,))[rows]
        return np.divide(1, w, out=np.zeros_like(w), where=w > 0)

    def pieces(self, size: int) -> Iterator[slice]:
        """Yield slices of at most `size` samples that make up the chunk."""
        for start in range(0, self.n_samples, size):
            yield slice(start, min(start + size, self.n_samples))

    def position(self, rows: slice) -> slice:
        """Return where the samples `rows` of the chunk stand in the data."""
        return slice(self.start + rows.start, self.start + rows.stop)


def add_gradient(
    network: Network,
    layers: list[Array],
    inputs: Any,
    targets: Array,
    weight: Any,
    out: Array,
    workspace: Workspace,
) -> float:
    """Add the gradient of a chunk's loss to `out` and return the loss; nothing else of the pass is left.

    The numbers are those of a `Pass` to the last bit. With tanh, z, a and f'(z) stand in the same array one after the
    other: two arrays per layer instead of five. Gradients of 200 to 2000 samples take a tenth to a fifth less time.

    Parameters
    ----------
    network, layers, inputs, targets, weight
        As of `Pass.forward`.
    out : ndarray of shape (n_params,)
        What the gradient is added to.
    workspace : Workspace
        Memory, which the next call overwrites.
    """
    loss, abars, z = network.loss, [inputs], []
    for layer, f in enumerate(network.activations):
        W = layers[layer]
        abar = workspace.array(("abar", layer), W.shape[1] + 1, len(targets))
        a = abar[:-1]
        z.append(weighted_inputs(abars[layer], W, out=a if _is_tanh(f) else None))
        if _is_tanh(f):
            tanh(z[layer], out=a)
        else:
            a[...] = f.value(z[layer])
        abar[-1] = 1
        abars.append(abar)
    raw = weighted_inputs(abars[-1], layers[-1]).T
    losses, prediction = loss.evaluate(raw, targets)
    delta = np.multiply(loss.gradient(raw, targets, prediction).T, weight, order="C")
    for layer in range(len(layers) - 1, -1, -1):
        part = out[network.layer_slices[layer]]
        part += outer_product(abars[layer], delta).ravel()
        if layer:
            W, a, f = layers[layer][:-1], abars[layer][:-1], network.activations[layer - 1]
            times = np.multiply if len(delta) == 1 else np.dot
            error = times(W, delta, out=workspace.array(("error", layer), *a.shape))
            # z is not needed, and its place is taken already
            derivative = tanh_derivative(a, a, out=a) if _is_tanh(f) else _derivative(f, z[layer - 1], a)
            delta = np.multiply(error, derivative, out=error)
    return _weighted_sum(losses, weight)


def _is_tanh(f: Activation) -> bool:
    """Whether value and derivative may take the place of their argument."""
    return f.value is tanh and f.derivative is tanh_derivative


def _derivative(f: Activation, z: Array, a: Array) -> Array:
    """Return f'(z) in the precision of z, which a function of the user may not keep."""
    return f.derivative(z, a).astype(z.dtype, copy=False)


def _weighted_sum(losses: Array, weight: Any) -> float:
    return float(losses @ weight if isinstance(weight, np.ndarray) else losses.sum() * weight)
