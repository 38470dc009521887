"""Second derivatives of each sample's loss in the pre-activations, and Jacobians between the layers."""

import numpy as np


class SampleCurvature:
    """S_ij = d2 loss / du_i du_j and J_km = d a_m / d u_k of some samples, u_l added to z_l.

    Arrays have units first and samples last, so that every step is a few large matrix products and every
    elementwise operation runs along the samples. Layers count from 0.

    Parameters
    ----------
    p : Pass
        With the backward direction done.
    rows : slice
        Its samples.
    exact : bool
        With f'' in S; False for Gauss-Newton.
    layers : sequence of int
        Layers of the blocks that will be asked for.
    array : callable
        `Workspace.array`; the workspace holds all the arrays, so that they live until the next samples are taken.

    Attributes
    ----------
    S : dict
        (i, j) -> ndarray of shape (h_i, h_j, samples), i <= j, sample weights included.
    J : dict
        (k, m) -> ndarray of shape (h_k, h_m, samples), k < m; empty where no pair of layers needs it.
    """

    def __init__(self, p, rows, exact, layers, array):
        self.p, self.rows, self.exact = p, rows, exact
        self.n_samples = rows.stop - rows.start
        self.first, self.last = min(layers), len(p.layers) - 1
        self.alone = len(layers) == 1
        self._inputs = {}
        self.S = {
            (i, j): self._allocate(array, "S", i, j)
            for i in range(self.first, self.last + 1)
            for j in range(i, (min(i + 1, self.last) if self.alone else self.last) + 1)
        }
        pairs = [(k, m) for m in range(self.last) for k in range(self.first, m)]
        crossed = exact and not self.alone
        self.J = {(k, m): self._allocate(array, "J", k, m) for k, m in pairs if crossed}
        self._fill()

    def _allocate(self, array, name, i, j):
        return array((name, i, j), self.p.layers[i].shape[1], self.p.layers[j].shape[1], self.n_samples)

    def inputs(self, l):
        """abar_{l-1} of shape (h_{l-1} + 1, samples)."""
        if l not in self._inputs:
            self._inputs[l] = inputs_of(self.p, l, self.rows)
        return self._inputs[l]

    def nonzero_inputs(self, l):
        """Return (inputs, x): those that are not zero throughout the samples, and their values."""
        if ("nonzero", l) not in self._inputs:
            x = self.inputs(l)
            inputs = np.flatnonzero(x.any(axis=1))
            everything = len(inputs) == len(x)
            self._inputs["nonzero", l] = (slice(None), x) if everything else (inputs, x[inputs])
        return self._inputs["nonzero", l]

    def slope(self, l):
        """f'_l of shape (h_l, samples)."""
        return self.p.slopes[l][:, self.rows]

    def delta(self, l):
        """The gradient in z_l, of shape (h_l, samples)."""
        return self.p.deltas[l][:, self.rows]

    def _fill(self):
        S, p, rows = self.S, self.p, self.rows
        self._outermost(S[self.last, self.last])
        for i in range(self.last - 1, self.first - 1, -1):
            W, slope = p.layers[i + 1][:-1], p.slopes[i][:, rows]
            for j in range(i + 1, (i + 1 if self.alone else self.last) + 1):
                np.matmul(W, S[i + 1, j].reshape(W.shape[1], -1), out=S[i, j].reshape(W.shape[0], -1))
                S[i, j] *= slope[:, None]
            np.matmul(W, S[i, i + 1], out=S[i, i])
            S[i, i] *= slope
            if self.exact and p.bends[i] is not None:
                np.einsum("hhn->hn", S[i, i])[...] += p.bends[i][:, rows] * p.errors[i][:, rows]
        for k, m in sorted(self.J):
            self._jacobian(k, m)

    def _outermost(self, out):
        p, rows = self.p, self.rows
        hessian = p.network.loss.full_hessian(p.raw[rows], p.y[rows]).transpose(1, 2, 0)
        np.multiply(hessian, p.weight[rows] if isinstance(p.weight, np.ndarray) else p.weight, out=out)

    def _jacobian(self, k, m):
        W, J = self.p.layers[m][:-1], self.J[k, m]
        if m == k + 1:
            np.multiply(self.slope(k)[:, None], W[:, :, None], out=J)
        else:
            np.matmul(W.T, self.J[k, m - 1], out=J)
        J *= self.slope(m)


def inputs_of(p, l, rows):
    """Return abar_{l-1} of shape (h_{l-1} + 1, samples) of some samples of a pass, dense."""
    abar = p.inputs[l]
    return abar[:, rows] if isinstance(abar, np.ndarray) else np.ascontiguousarray(abar[rows].toarray().T)


def floats_per_sample(network):
    """Return how many numbers a `SampleCurvature` may hold for each sample."""
    outer = network.widths[1:]
    pairs = sum(a * b for i, a in enumerate(outer) for b in outer[i:])
    return 2 * pairs + sum(network.widths) + 4 * sum(outer)
