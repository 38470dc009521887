"""Second derivatives of each sample's loss in the pre-activations, and Jacobians between the layers."""

import numpy as np


class SampleCurvature:
    """S_ij = d2 loss / du_i du_j and J_km = d a_m / d u_k of some samples, u_l added to z_l.

    Arrays have units first and samples last, so that every step is one large matrix product and every
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
    """

    def __init__(self, p, rows, exact, layers, array):
        self.p, self.rows, self.exact, self.layers = p, rows, exact, layers
        self.array = array
        self.n_samples = p.z[-1][:, rows].shape[1]
        self._inputs, self._jacobians = {}, {}
        self.S = self._second_derivatives()

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

    def jacobian(self, k, m):
        """d a_m / d u_k for k < m, of shape (h_k, h_m, samples)."""
        if (k, m) not in self._jacobians:
            W = self.p.layers[m][:-1]
            J = self.array(("jacobian", k, m), self.p.layers[k].shape[1], W.shape[1], self.n_samples)
            if m == k + 1:
                np.multiply(self.slope(k)[:, None], W[:, :, None], out=J)
            else:
                np.matmul(W.T, self.jacobian(k, m - 1), out=J)
            J *= self.slope(m)
            self._jacobians[k, m] = J
        return self._jacobians[k, m]

    def _second_derivatives(self):
        last, first = len(self.p.layers) - 1, min(self.layers)
        S = {(last, last): self._outermost()}
        for i in range(last - 1, first - 1, -1):
            W, slope = self.p.layers[i + 1][:-1], self.slope(i)
            for j in range(i + 1, last + 1 if len(self.layers) > 1 else i + 2):
                after = S[i + 1, j]
                S[i, j] = self.array(("S", i, j), W.shape[0], *after.shape[1:])
                np.matmul(W, after.reshape(W.shape[1], -1), out=S[i, j].reshape(W.shape[0], -1))
                S[i, j] *= slope[:, None]
            S[i, i] = np.matmul(W, S[i, i + 1], out=self.array(("S", i, i), len(W), len(W), self.n_samples))
            S[i, i] *= slope
            self._add_bend(i, S[i, i])
        return S

    def _outermost(self):
        p, rows = self.p, self.rows
        hessian = p.network.loss.full_hessian(p.raw[rows], p.y[rows]).transpose(1, 2, 0)
        weight = p.weight[rows] if isinstance(p.weight, np.ndarray) else p.weight
        return np.multiply(hessian, weight, out=self.array("outermost", *hessian.shape))

    def _add_bend(self, i, S):
        bend, h = self.p.bends[i], S.shape[0]
        if self.exact and bend is not None:
            S.reshape(h * h, -1)[:: h + 1] += bend[:, self.rows] * self.p.errors[i][:, self.rows]


def inputs_of(p, l, rows):
    """Return abar_{l-1} of shape (h_{l-1} + 1, samples) of some samples of a pass, dense."""
    abar = p.inputs[l]
    return abar[:, rows] if isinstance(abar, np.ndarray) else np.ascontiguousarray(abar[rows].toarray().T)


def floats_per_sample(network):
    """Return how many numbers a `SampleCurvature` may hold for each sample."""
    outer = network.widths[1:]
    pairs = sum(a * b for i, a in enumerate(outer) for b in outer[i:])
    return 2 * pairs + sum(network.widths) + 4 * sum(outer)
