"""Products of a vector with the Hessian, the Gauss-Newton matrix and the Fisher matrix, without a matrix."""

import numpy as np


class CurvatureProduct:
    """v -> H v, or G v, at one theta; penalty included.

    What depends on theta alone is computed at the first product and kept (Pearlmutter 1994, "Fast exact
    multiplication by the Hessian"; Schraudolph 2002 for Gauss-Newton).

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        Where.
    exact : bool, default=True
        The Hessian; False for Gauss-Newton.
    layer : int, default=None
        The diagonal block of one layer only; v then has that layer's size.
    """

    def __init__(self, objective, theta, *, exact=True, layer=None):
        self.objective, self.theta = objective, theta.copy()
        self.exact, self.layer = exact, layer
        self.part = slice(None) if layer is None else objective.network.parts[layer]
        self._penalty = objective.penalty * objective.network.penalised[self.part].astype(objective.dtype)

    def __call__(self, v):
        """Return the product, of the shape of v."""
        network = self.objective.network
        full = v
        if self.layer is not None:
            full = np.zeros(network.n_params, self.objective.dtype)
            full[self.part] = v
        out = np.zeros(network.n_params, self.objective.dtype)
        V, R = network.layers(full), network.layers(out)
        for p in self.objective.passes(self.theta):
            self._add(p, V, R)
        return out[self.part] + self._penalty * v

    def _add(self, p, V, out):
        Rz, Ra = [], []
        for l, Vl in enumerate(V):
            z = np.asarray(p.inputs[l] @ Vl)
            if l:
                z += Ra[-1] @ p.layers[l][:-1]
            Rz.append(z)
            if l < len(V) - 1:
                Ra.append(p.slopes[l] * z)
        Rdelta = p.loss_hessian_product(Rz[-1])
        for l in range(len(V) - 1, -1, -1):
            out[l] += np.asarray(p.inputs[l].T @ Rdelta)
            if not l:
                return
            Re = Rdelta @ p.layers[l][:-1].T
            if self.exact:
                out[l][:-1] += Ra[l - 1].T @ p.deltas[l]
                Re += p.deltas[l] @ V[l][:-1].T
            Rdelta = Re * p.slopes[l - 1]
            if self.exact and p.bends[l - 1] is not None:
                Rdelta += p.errors[l - 1] * p.bends[l - 1] * Rz[l - 1]


def product_flops(network, n_samples, *, exact=True):
    """Return the floating-point operations of one product: three or, for the Hessian, four per weight and more."""
    return (10.0 if exact else 8.0) * n_samples * network.n_params
