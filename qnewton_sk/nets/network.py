"""The net: widths, activations, loss, and the order of its parameters."""

from functools import cached_property

import numpy as np


class Network:
    """Shapes, activations and loss of a multilayer perceptron; holds no parameters.

    Parameters
    ----------
    widths : sequence of int
        h_0, .., h_L.
    activations : sequence of Activation
        f_1, .., f_{L-1}.
    loss : Loss
        Of the raw outputs.
    """

    def __init__(self, widths, activations, loss):
        self.widths = tuple(int(h) for h in widths)
        self.activations = tuple(activations)
        self.loss = loss
        ends = np.cumsum([0] + [(i + 1) * o for i, o in zip(self.widths, self.widths[1:])]).tolist()
        self.layer_slices = tuple(slice(a, b) for a, b in zip(ends, ends[1:]))
        self.n_params = ends[-1]

    @property
    def n_layers(self):
        """Layers with weights, L."""
        return len(self.widths) - 1

    def layers(self, theta):
        """Return [Wbar_1, .., Wbar_L], views of theta."""
        shapes = zip(self.widths, self.widths[1:])
        return [theta[part].reshape(i + 1, o) for part, (i, o) in zip(self.layer_slices, shapes)]

    def unpack(self, theta):
        """Return (coefs, intercepts), copies in scikit-learn's shapes."""
        layers = self.layers(theta)
        return [W[:-1].copy() for W in layers], [W[-1].copy() for W in layers]

    def pack(self, coefs, intercepts, dtype=np.float64):
        """Return theta of shape (n_params,) from scikit-learn's lists."""
        rows = [np.vstack([W, b]).ravel() for W, b in zip(coefs, intercepts)]
        return np.concatenate(rows).astype(dtype, copy=False)

    def initial(self, random_state, dtype=np.float64):
        """Return Glorot-uniform parameters, drawn in the order in which scikit-learn's MLP draws them.

        Bound sqrt(6 / (fan_in + fan_out)), with 2 in place of 6 for logistic units (Glorot, Bengio 2010).
        """
        coefs, intercepts = [], []
        names = [f.name for f in self.activations] or ["identity"]
        for layer, (fan_in, fan_out) in enumerate(zip(self.widths, self.widths[1:])):
            factor = 2.0 if names[min(layer, len(names) - 1)] == "logistic" else 6.0
            bound = np.sqrt(factor / (fan_in + fan_out))
            coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)))
            intercepts.append(random_state.uniform(-bound, bound, fan_out))
        return self.pack(coefs, intercepts, dtype)

    def raw(self, X, theta):
        """Return the raw outputs of shape (n, K) for X (ndarray or sparse) of shape (n, h_0)."""
        a = X
        for layer, W in enumerate(self.layers(theta)):
            a = a @ W[:-1] + W[-1]
            if layer < len(self.activations):
                a = self.activations[layer].value(a)
        return a

    @cached_property
    def penalised(self):
        """Mask of shape (n_params,): 1.0 for weights, 0.0 for intercepts."""
        mask = np.ones(self.n_params)
        for W in self.layers(mask):
            W[-1] = 0
        return mask
