"""Second derivatives of each sample's loss in the pre-activations, and Jacobians between the layers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.nets import Network, Pass, dense_inputs

from .layer_blocks import packing
from .low_rank import curvature_rank

Array = NDArray[Any]


class SampleCurvature:
    """S_ij = d2 loss / du_i du_j and J_km = d a_m / d u_k of some samples, where u_l is added to z_l.

    Arrays have units first and samples last, so that every step consists of a few large matrix products, and every
    elementwise operation runs along the samples. Layers count from 0.

    If a number added to all the outputs changes nothing, the derivatives in the last output are minus the sums of those
    in the others, and are left out: the last layer counts as one with the `free_outputs` first outputs alone.

    Parameters
    ----------
    p : Pass
        The pass of the samples, after its backward pass.
    rows : slice
        The samples.
    exact : bool
        Whether S holds f''; False for Gauss-Newton.
    layers : sequence of int
        Layers of the blocks that will be asked for.
    array : callable
        `Workspace.array`; the workspace holds all the arrays, so that they live until the next samples are taken.

    Attributes
    ----------
    S : dict
        (i, j) -> ndarray of shape (h_i, h_j, samples), i <= j, sample weights included. That of the first layer with
        itself is not there: see `packed`.
    J : dict
        (k, m) -> ndarray of shape (h_k, h_m, samples), k < m; empty if no pair of layers needs it.
    """

    def __init__(self, p: Pass, rows: slice, exact: bool, layers: Sequence[int], array: Callable[..., Array]):
        self.p, self.rows, self.exact = p, rows, exact
        self.n_samples = rows.stop - rows.start
        self.first, self.last = min(layers), len(p.layers) - 1
        self.alone = len(layers) == 1
        self.widths = (*p.network.widths[1:-1], free_outputs(p.network))
        self._array = array
        self._inputs: dict[Any, Any] = {}
        self._packed: dict[int, Array] = {}
        self.S = {
            (i, j): self._allocate(array, "S", i, j)
            for i in range(self.first, self.last + 1)
            for j in range(i, (min(i + 1, self.last) if self.alone else self.last) + 1)
            if self.first < j or i == self.last
        }
        pairs = [(k, m) for m in range(self.last) for k in range(self.first, m)]
        crossed = exact and not self.alone
        self.J = {(k, m): self._allocate(array, "J", k, m) for k, m in pairs if crossed}
        self._fill()

    def _allocate(self, array: Callable[..., Array], name: str, i: int, j: int) -> Array:
        return array((name, i, j), self.widths[i], self.widths[j], self.n_samples)

    def packed(self, l: int, some_samples: bool = False) -> Array:
        """Return the upper triangle of S_ll, row by row, of shape (h_l (h_l + 1) / 2, samples).

        For `some_samples` its transpose is contiguous.
        """
        if l not in self._packed:
            h, triangle = self.widths[l], self._triangle(l)
            self.S[l, l].reshape(h * h, -1).take(packing(h)[0], axis=0, out=triangle, mode="clip")
            self._packed[l] = triangle
        packed = self._packed[l]
        if not some_samples:
            return packed
        by_samples = self._array(("packed by samples", l), *packed.shape[::-1])
        np.copyto(by_samples, packed.T)
        return by_samples.T

    def _triangle(self, l: int) -> Array:
        h = self.widths[l]
        return self._array(("packed", l), h * (h + 1) // 2, self.n_samples)

    def inputs(self, l: int) -> Array:
        """Return abar_{l-1} of shape (h_{l-1} + 1, samples)."""
        if l not in self._inputs:
            self._inputs[l] = dense_inputs(self.p.inputs[l], self.rows)
        return self._inputs[l]

    def nonzero_inputs(self, l: int) -> tuple[Any, Array]:
        """Return (inputs, x): those inputs that are not zero for all of the samples, and their values."""
        if ("nonzero", l) not in self._inputs:
            x = self.inputs(l)
            inputs = np.flatnonzero(x.any(axis=1))
            everything = len(inputs) == len(x)
            self._inputs["nonzero", l] = (slice(None), x) if everything else (inputs, x[inputs])
        return self._inputs["nonzero", l]

    def derivative(self, l: int) -> Array:
        """Return f'_l of shape (h_l, samples)."""
        return self.p.derivatives[l][:, self.rows]

    def delta(self, l: int) -> Array:
        """Return the gradient in z_l, of shape (h_l, samples), or in the free outputs."""
        return self.p.deltas[l][: self.widths[l], self.rows]

    def _fill(self) -> None:
        S, p, rows = self.S, self.p, self.rows
        self._outermost(S[self.last, self.last])
        for i in range(self.last - 1, self.first - 1, -1):
            W, derivative = self._weights(i + 1), self.derivative(i)
            for j in range(i + 1, (i + 1 if self.alone else self.last) + 1):
                np.matmul(W, S[i + 1, j].reshape(W.shape[1], -1), out=S[i, j].reshape(W.shape[0], -1))
                S[i, j] *= derivative[:, None]
            second_derivative = p.second_derivatives[i] if self.exact else None
            bend = None if second_derivative is None else second_derivative[:, rows] * p.errors[i][:, rows]
            if i == self.first:
                self._packed[i] = self._first_triangle(W, S[i, i + 1], derivative, bend)
                continue
            np.matmul(W, S[i, i + 1], out=S[i, i])
            S[i, i] *= derivative
            if bend is not None:
                np.einsum("hhn->hn", S[i, i])[...] += bend
        for k, m in sorted(self.J):
            self._jacobian(k, m)

    def _first_triangle(self, W: Array, S: Array, derivative: Array, bend: Array | None) -> Array:
        """Return S of the first layer with itself, from which no other one follows, as `packed` does."""
        packed, start = self._triangle(self.first), 0
        for r in range(len(W)):
            row = packed[start : start + len(W) - r]
            np.matmul(W[r:], S[r], out=row)
            row *= derivative[r:]
            if bend is not None:
                row[0] += bend[r]
            start += len(row)
        return packed

    def _weights(self, l: int) -> Array:
        """Return W_l; for free outputs, the differences from the last one's weights."""
        W, h = self.p.layers[l][:-1], self.widths[l]
        return W if h == W.shape[1] else W[:, :h] - W[:, h:]

    def _outermost(self, out: Array) -> None:
        p, rows, h = self.p, self.rows, self.widths[-1]
        hessian = p.network.loss.full_hessian(p.raw[rows], p.targets[rows])[:, :h, :h].transpose(1, 2, 0)
        np.multiply(hessian, p.weights_of(rows), out=out)

    def _jacobian(self, k: int, m: int) -> None:
        W, J = self.p.layers[m][:-1], self.J[k, m]
        if m == k + 1:
            np.multiply(self.derivative(k)[:, None], W[:, :, None], out=J)
        else:
            np.matmul(W.T, self.J[k, m - 1], out=J)
        J *= self.derivative(m)


def free_outputs(network: Network) -> int:
    """Return how many outputs, the first ones, determine the derivatives in all: K - 1 if shifts change nothing."""
    return curvature_rank(network) or 1  # a single output that shifts do not change is kept


def floats_per_sample(network: Network) -> int:
    """Return the maximum of numbers that a `SampleCurvature` holds per sample."""
    outer = network.widths[1:]
    pairs = sum(a * b for i, a in enumerate(outer) for b in outer[i:])
    return 2 * pairs + sum(network.widths) + 4 * sum(outer)
