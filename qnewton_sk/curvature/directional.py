"""Derivatives along a vector, by forward-mode and reverse-mode passes: of the gradient, and twice of the outputs.

The derivative of the gradient is a product with the Hessian. It is taken over slabs of samples, which keep what depends
on theta alone. The second derivative of the outputs is the right-hand side of a correction to a step.

Arrays have units first and samples last; layers count from 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.nets import (
    BaseObjective,
    Network,
    Objective,
    Pass,
    inputs_of_samples,
    outer_product,
    weighted_inputs,
)

Array = NDArray[Any]


class HessianSlab:
    """The directional derivative of the gradient on some samples, exactly or by Gauss-Newton.

    Write R for the derivative along the vector V. The forward-mode pass carries R z from layer to layer: for layer l,
    ``tangent_stack[l]`` holds [R a_{l-1}; abar_{l-1}] and ``tangent_weights[l]`` [W_l; Vbar_l], so that R z_l is one
    product. The reverse-mode pass carries R delta back: ``adjoint_stack[l]`` holds [R delta_l; delta_l] and
    ``adjoint_weights[l]`` [W_l, V_l], so that R e_{l-1} is one product. If a single layer moves, and for Gauss-Newton,
    the halves that belong to V are absent.

    Parameters
    ----------
    p : Pass
        The pass of the samples.
    rows : slice
        The samples.
    exact : bool
        Whether the product is that of the Hessian; False for Gauss-Newton.
    layer : int or None
        The only layer that moves; None if all do.

    Attributes
    ----------
    out : ndarray of shape (n_params,), or of the layer's size
        What the last call has returned.
    """

    def __init__(self, p: Pass, rows: slice, exact: bool, layer: int | None):
        self.first, self.count = layer or 0, len(p.layers)
        self.moving, self.exact = layer is None, exact
        self.crossed = exact and self.moving
        if exact:
            p.backward()
        self.out = np.zeros(p.network.n_params if layer is None else p.layers[layer].size, p.z[-1].dtype)
        self.outs: Any = (
            p.network.layers(self.out) if layer is None else {layer: self.out.reshape(p.layers[layer].shape)}
        )
        self.first_inputs = inputs_of_samples(p.inputs[self.first], rows)
        self.loss_product = _loss_product(p, rows)
        self._allocate_forward(p, rows)
        self._allocate_reverse(p, rows)

    @staticmethod
    def floats_per_sample(network: Network, exact: bool, layer: int | None) -> int:
        """Return how many numbers a slab holds per sample, the inputs of the first layer of the net left out."""
        first, widths = layer or 0, network.widths
        hidden, units = sum(widths[first + 1 : -1]), sum(widths[first + 1 :])
        moving, crossed = layer is None, exact and layer is None
        has_second = [f.second_derivative is not None for f in network.activations]
        second = sum(h for h, has in zip(widths[first + 1 : -1], has_second[first:]) if exact and has)
        forward = hidden + (hidden + network.n_layers - 1 if moving else 0)
        first_inputs = widths[first] + 1 if first else 0
        outputs = network.loss.curvature_size(widths[-1])
        return hidden + second + forward + units * (2 if crossed else 1) + outputs + first_inputs

    def _allocate_forward(self, p: Pass, rows: slice) -> None:
        self.derivatives = {l: p.derivatives[l][:, rows] for l in range(self.first, self.count - 1)}
        self.tangent_stack: dict[int, Array] = {}
        self.tangent_weights: dict[int, Array] = {}
        self.tangents: dict[int, Array] = {}
        self.vectors: dict[int, Array] = {}
        self.inputs: dict[int, Array] = {}
        for l in range(self.first + 1, self.count):
            W, h = p.layers[l], p.layers[l].shape[0] - 1
            inner = 2 * h + 1 if self.moving else h
            self.tangent_weights[l] = np.zeros((inner, W.shape[1]), W.dtype)
            self.tangent_weights[l][:h] = W[:-1]
            self.vectors[l] = self.tangent_weights[l][h:]
            self.tangent_stack[l] = np.empty((inner, self.derivatives[l - 1].shape[1]), W.dtype)
            self.tangents[l - 1] = self.tangent_stack[l][:h]
            if self.moving:
                self.inputs[l] = self.tangent_stack[l][h:]
                self.inputs[l][...] = p.inputs[l][:, rows]

    def _allocate_reverse(self, p: Pass, rows: slice) -> None:
        self.adjoint_stack: dict[int, Array] = {}
        self.adjoint_weights: dict[int, Array] = {}
        self.adjoint_tangents: dict[int, Array] = {}
        self.deltas: dict[int, Array] = {}
        self.second_order: dict[int, Array | None] = {}  # f'' e
        for l in range(self.first, self.count):
            W, z = p.layers[l][:-1], p.z[l][:, rows]
            if self.crossed:
                delta = p.deltas[l][:, rows]
                self.adjoint_stack[l] = np.concatenate([delta, delta])
                self.adjoint_weights[l] = np.concatenate([W, W], axis=1)
            else:
                self.adjoint_stack[l] = np.empty(z.shape, z.dtype)
                self.adjoint_weights[l] = np.ascontiguousarray(W)
            self.adjoint_tangents[l] = self.adjoint_stack[l][: len(z)]
            self.deltas[l] = self.adjoint_stack[l][len(z) :]
        for l in range(self.first, self.count - 1):
            second_derivative = p.second_derivatives[l] if self.exact else None
            self.second_order[l] = (
                None if second_derivative is None else second_derivative[:, rows] * p.errors[l][:, rows]
            )

    def __call__(self, V: list[Array]) -> Array:
        """Return the slab's part of the product; it is overwritten by the next call."""
        if self.crossed:
            self._reverse_mode(V, self._forward_mode(V))
        else:
            self._reverse_mode_at_fixed_weights(self._forward_mode(V))
        return self.out

    def _forward_mode(self, V: list[Array]) -> dict[int, Array]:
        """Carry the direction to the outputs; return R z of all layers."""
        z = {self.first: weighted_inputs(self.first_inputs, V[self.first])}
        for l in range(self.first + 1, self.count):
            np.multiply(z[l - 1], self.derivatives[l - 1], out=self.tangents[l - 1])
            if self.moving:
                self.vectors[l][...] = V[l]
            z[l] = self.tangent_weights[l].T @ self.tangent_stack[l]
        return z

    def _reverse_mode(self, V: list[Array], z: dict[int, Array]) -> None:
        """Carry the change of the gradient back, the motion of the weights included."""
        self.adjoint_tangents[self.count - 1][...] = self.loss_product(z[self.count - 1])
        for l in range(self.count - 1, 0, -1):
            outer_product(self.inputs[l], self.adjoint_tangents[l], out=self.outs[l])
            self.outs[l][:-1] += self.tangents[l - 1] @ self.deltas[l].T
            self.adjoint_weights[l][:, self.adjoint_tangents[l].shape[0] :] = V[l][:-1]
            self._through_activation(l - 1, self.adjoint_weights[l] @ self.adjoint_stack[l], z)
        outer_product(self.first_inputs, self.adjoint_tangents[0], out=self.outs[0])

    def _reverse_mode_at_fixed_weights(self, z: dict[int, Array]) -> None:
        """Carry the change of the gradient back as if the weights did not move."""
        tangent = self.loss_product(z[self.count - 1])
        for l in range(self.count - 1, self.first, -1):
            if self.moving:
                outer_product(self.inputs[l], tangent, out=self.outs[l])
            W = self.adjoint_weights[l]
            self._through_activation(l - 1, W * tangent if W.shape[1] == 1 else W @ tangent, z)
            tangent = self.adjoint_tangents[l - 1]
        outer_product(self.first_inputs, tangent, out=self.outs[self.first])

    def _through_activation(self, l: int, error: Array, z: dict[int, Array]) -> None:
        np.multiply(error, self.derivatives[l], out=self.adjoint_tangents[l])
        second_order = self.second_order[l]
        if second_order is not None:
            self.adjoint_tangents[l] += np.multiply(second_order, z[l], out=error)


class FisherSlab:
    """Gradients of some samples as factors; the sum of their weighted outer products, times a vector.

    Parameters
    ----------
    p : Pass
        The pass of the samples.
    rows : slice
        The samples.
    layer : int or None
        The only layer that is meant; None for all.

    Attributes
    ----------
    out : ndarray of shape (n_params,), or of the layer's size
        What the last call has returned.
    """

    def __init__(self, p: Pass, rows: slice, layer: int | None):
        p.backward()
        layers = range(len(p.layers)) if layer is None else [layer]
        self.out = np.zeros(sum(p.layers[l].size for l in layers), p.z[-1].dtype)
        ends = np.cumsum([p.layers[l].size for l in layers])[:-1]
        pieces = np.split(self.out, ends)
        self.layers = [
            (
                l,
                inputs_of_samples(p.inputs[l], rows),
                p.deltas[l][:, rows],
                piece.reshape(p.layers[l].shape),
            )
            for l, piece in zip(layers, pieces)
        ]
        self.inverse_weights = p.inverse_weights(rows)

    @staticmethod
    def floats_per_sample(network: Network, layer: int | None) -> int:
        """Return how many numbers a slab holds per sample, the inputs of the first layer of the net left out."""
        layers = range(network.n_layers) if layer is None else [layer]
        inputs = sum(network.widths[l] + 1 for l in layers if l)
        return inputs + sum(network.widths[l + 1] for l in layers) + 1

    def __call__(self, V: list[Array]) -> Array:
        """Return the slab's part of the product; it is overwritten by the next call."""
        along: Any = 0  # the derivative of each sample's loss along V, times its weight
        for l, abar, delta, _ in self.layers:
            along = along + np.einsum("hn,hn->n", weighted_inputs(abar, V[l]), delta)
        along *= self.inverse_weights
        for _, abar, delta, out in self.layers:
            outer_product(abar, delta * along, out=out)
        return self.out


def _loss_product(p: Pass, rows: slice) -> Callable[[Array], Array]:
    """Return v -> w (d2 loss / dz2) v for v of shape (K, samples)."""
    loss, curvature, weight = p.network.loss, p.loss_curvature[rows], p.weights_of(rows)
    if loss.has_diagonal_hessian:
        diagonal = np.multiply(curvature.T, weight, order="C")
        return lambda v: diagonal * v

    def product(v: Array) -> Array:
        u = loss.curvature_product(curvature, v.T).T
        u *= weight
        return u

    return product


def acceleration(objective: BaseObjective, theta: Array, v: Array) -> Array:
    """Return J^T H_loss z'', where z'' is the second derivative of the raw outputs along v.

    Gauss-Newton takes the outputs as linear in the parameters. Along a step v they accelerate; to solve once more with
    this right-hand side, and to go half as far, gives the second-order correction of the step, which is called its
    geodesic acceleration (Transtrum and Sethna 2012, "Improvements to the Levenberg-Marquardt algorithm for nonlinear
    least-squares minimization", arXiv:1201.5885). The loss must have a diagonal Hessian in the outputs.

    Parameters
    ----------
    objective : BaseObjective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters.
    v : ndarray of shape (n_params,)
        The step.

    Returns
    -------
    ndarray of shape (n_params,)
    """
    out = np.zeros_like(theta)
    objective.over_parts(_add_acceleration, out, theta, v)
    return out


def _add_acceleration(part: Objective, out: Array, theta: Array, v: Array) -> float:
    V = part.network.layers(v)
    with np.errstate(over="ignore", invalid="ignore"):
        for p in part.passes(theta):
            hessian = p.network.loss.hessian(p.raw, p.targets).T
            _add_jacobian_product(p, hessian * p.weight * _output_acceleration(p, V), out)
    return 0.0


def _output_acceleration(p: Pass, V: list[Array]) -> Array:
    """Return z'' of the last layer, of shape (K, samples)."""
    a_velocity = a_acceleration = None  # a' and a'' of the layer before
    for l, (W, V_l) in enumerate(zip(p.layers, V)):
        velocity = weighted_inputs(p.inputs[l], V_l)
        if a_velocity is None:
            z_acceleration = np.zeros_like(velocity)
        else:
            velocity += W[:-1].T @ a_velocity
            z_acceleration = 2 * (V_l[:-1].T @ a_velocity) + W[:-1].T @ a_acceleration
        if l < len(p.layers) - 1:
            a_velocity, a_acceleration = p.derivatives[l] * velocity, p.derivatives[l] * z_acceleration
            second_derivative = p.second_derivatives[l]
            if second_derivative is not None:
                a_acceleration += second_derivative * velocity * velocity
    return z_acceleration


def _add_jacobian_product(p: Pass, delta: Array, out: Array) -> None:
    """Add J^T delta to `out`."""
    for l in range(len(p.layers) - 1, -1, -1):
        out[p.network.layer_slices[l]] += outer_product(p.inputs[l], delta).ravel()
        if l:
            delta = (p.layers[l][:-1] @ delta) * p.derivatives[l - 1]
