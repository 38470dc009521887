"""Products of a vector with the Hessian, the Gauss-Newton matrix and the Fisher matrix, without a matrix."""

from functools import partial

import numpy as np

from qnewton_sk.machine import run_tasks, threads_for

KEPT_BYTES = 2**30
"""What depends on theta alone is kept between products up to this size, beyond it computed every time."""

SLAB_SAMPLES = 2048
"""Samples worked through at a time: for widths of 16 to 100 their slopes and buffers stay in a 1 to 32 MB
cache, and the calls of numpy still cost little beside the arithmetic."""


class _Product:
    """v -> A v at one theta, as a sum over slabs of samples plus the penalty."""

    def __init__(self, objective, theta, layer=None):
        self.objective, self.theta, self.layer = objective, theta.copy(), layer
        network = objective.network
        self.part = slice(0, network.n_params) if layer is None else network.layer_slices[layer]
        self._penalty = objective.penalties[self.part]
        self._v = np.zeros(network.n_params, objective.dtype)
        self._V = network.layers(self._v)
        self._kept = None

    def __call__(self, v):
        """Return the product, a new array of the shape of v."""
        self._v[self.part] = v
        out = self._penalty * v
        if self._kept is None and self._fits():
            slabs = {}
            self.objective.over_chunks(self.theta, partial(self._keep, slabs), None)
            self._kept = [slab for start in sorted(slabs) for slab in slabs[start]]
        if self._kept is None:
            self.objective.over_chunks(self.theta, self._add, out)
        else:
            self._add_kept(out)
        return out

    def _fits(self):
        floats = 6 * self.objective.n_samples * sum(self.objective.network.widths[1:])
        return floats * self.objective.dtype.itemsize <= KEPT_BYTES

    def _keep(self, slabs, p, _):
        slabs[p.start] = list(self._slabs(p))
        return 0.0

    def _add(self, p, out):
        for slab in self._slabs(p):
            out += slab(self._V)
        return 0.0

    def _slabs(self, p):
        p.backward()
        for start in range(0, p.n_samples, SLAB_SAMPLES):
            yield self._slab(p, slice(start, start + SLAB_SAMPLES))

    def _add_kept(self, out):
        flops = product_flops(self.objective.network, self.objective.n_samples, layer=self.layer)
        tasks = [lambda _, slab=slab: slab(self._V) for slab in self._kept]
        run_tasks(tasks, [None] * threads_for(flops), flops)
        for slab in self._kept:
            out += slab.out


class CurvatureProduct(_Product):
    """v -> H v, or G v, at one theta; penalty included.

    What depends on theta alone is computed at the first product and kept (Pearlmutter 1994, "Fast exact
    multiplication by the Hessian"; Schraudolph 2002, "Fast curvature matrix-vector products").

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        Where; it is copied.
    exact : bool, default=True
        The Hessian; False for Gauss-Newton.
    layer : int, default=None
        The diagonal block of one layer only; v then has that layer's size.
    """

    def __init__(self, objective, theta, *, exact=True, layer=None):
        super().__init__(objective, theta, layer)
        self.exact = exact

    def _slab(self, p, rows):
        return _Tangent(p, rows, self.exact, self.layer)


class FisherProduct(_Product):
    """v -> F v at one theta; penalty included.

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        Where; it is copied.
    layer : int, default=None
        The diagonal block of one layer only; v then has that layer's size.
    """

    def _slab(self, p, rows):
        return _Gradients(p, rows, self.layer)


class _Tangent:
    """Directional derivative of the gradient on some samples; arrays have units first, samples last.

    For layer l, `stack[l]` holds [R a_{l-1}; abar_{l-1}] and `weights[l]` [W_l; Vbar_l], so that
    R z_l is one product; `back[l]` holds [R delta_l; delta_l] and `forth[l]` [W_l, V_l] for R e_{l-1}.
    With one layer moving alone, and for Gauss-Newton, the lower halves are absent.
    """

    def __init__(self, p, rows, exact, layer):
        self.first, self.count = layer or 0, len(p.layers)
        self.moving, self.exact = layer is None, exact
        self.crossed = exact and self.moving
        self.out = np.zeros(p.network.n_params if self.moving else p.layers[layer].size, p.z[-1].dtype)
        self.outs = (
            p.network.layers(self.out) if self.moving else {layer: self.out.reshape(p.layers[layer].shape)}
        )
        self.entrance = _Entrance(p.inputs[self.first], rows)
        self.loss_product = _loss_product(p, rows)
        self._forward_buffers(p, rows)
        self._backward_buffers(p, rows)

    def _forward_buffers(self, p, rows):
        above = range(self.first + 1, self.count)
        self.slopes = {l: p.slopes[l][:, rows] for l in range(self.first, self.count - 1)}
        self.stack, self.weights, self.tangents, self.vectors, self.inputs = {}, {}, {}, {}, {}
        for l in above:
            W, h = p.layers[l], p.layers[l].shape[0] - 1
            inner = 2 * h + 1 if self.moving else h
            self.weights[l] = np.zeros((inner, W.shape[1]), W.dtype)
            self.weights[l][:h] = W[:-1]
            self.vectors[l] = self.weights[l][h:]
            self.stack[l] = np.empty((inner, self.slopes[l - 1].shape[1]), W.dtype)
            self.tangents[l - 1] = self.stack[l][:h]
            if self.moving:
                self.inputs[l] = self.stack[l][h:]
                self.inputs[l][...] = p.inputs[l][:, rows]

    def _backward_buffers(self, p, rows):
        self.back, self.forth, self.responses, self.deltas, self.bends = {}, {}, {}, {}, {}
        for l in range(self.first, self.count):
            h, delta = p.layers[l].shape[1], p.deltas[l][:, rows]
            self.back[l] = (
                np.concatenate([delta, delta]) if self.crossed else np.empty(delta.shape, delta.dtype)
            )
            self.responses[l], self.deltas[l] = self.back[l][:h], self.back[l][h:]
            W = p.layers[l][:-1]
            self.forth[l] = np.concatenate([W, W], axis=1) if self.crossed else np.ascontiguousarray(W)
        for l, bend in enumerate(p.bends[self.first :], self.first):
            has_bend = self.exact and bend is not None
            self.bends[l] = bend[:, rows] * p.errors[l][:, rows] if has_bend else None

    def __call__(self, V):
        """Return the slab's part of the product; overwritten by the next call."""
        if self.crossed:
            self._turn(V, self._linearise(V))
        else:
            self._return(self._linearise(V))
        return self.out

    def _linearise(self, V):
        """Carry the direction to the outputs; return R z of all layers."""
        z = {self.first: self.entrance.forward(V[self.first])}
        for l in range(self.first + 1, self.count):
            np.multiply(z[l - 1], self.slopes[l - 1], out=self.tangents[l - 1])
            if self.moving:
                self.vectors[l][...] = V[l]
            z[l] = self.weights[l].T @ self.stack[l]
        return z

    def _turn(self, V, z):
        """Carry the change of the gradient back, the weights' own motion included."""
        self.responses[self.count - 1][...] = self.loss_product(z[self.count - 1])
        for l in range(self.count - 1, 0, -1):
            np.matmul(self.inputs[l], self.responses[l].T, out=self.outs[l])
            self.outs[l][:-1] += self.tangents[l - 1] @ self.deltas[l].T
            self.forth[l][:, self.responses[l].shape[0] :] = V[l][:-1]
            self._through(l - 1, self.forth[l] @ self.back[l], z)
        self.entrance.backward(self.responses[0], self.outs[0])

    def _return(self, z):
        """Carry the change of the gradient back at fixed weights."""
        response = self.loss_product(z[self.count - 1])
        for l in range(self.count - 1, self.first, -1):
            if self.moving:
                np.matmul(self.inputs[l], response.T, out=self.outs[l])
            W = self.forth[l]
            self._through(l - 1, W * response if W.shape[1] == 1 else W @ response, z)
            response = self.responses[l - 1]
        self.entrance.backward(response, self.outs[self.first])

    def _through(self, l, error, z):
        np.multiply(error, self.slopes[l], out=self.responses[l])
        if self.bends[l] is not None:
            self.responses[l] += np.multiply(self.bends[l], z[l], out=error)


class _Gradients:
    """Gradients of some samples as factors; their weighted outer products times a vector."""

    def __init__(self, p, rows, layer):
        layers = range(len(p.layers)) if layer is None else [layer]
        self.out = np.zeros(sum(p.layers[l].size for l in layers), p.z[-1].dtype)
        ends = np.cumsum([p.layers[l].size for l in layers])[:-1]
        pieces = np.split(self.out, ends)
        self.layers = [
            (
                l,
                _Entrance(p.inputs[l], rows),
                p.deltas[l][:, rows],
                piece.reshape(p.layers[l].shape),
            )
            for l, piece in zip(layers, pieces)
        ]
        self.inverse_weight = inverse_weight(p)[rows]

    def __call__(self, V):
        """Return the slab's part of the product; overwritten by the next call."""
        slope = sum(np.einsum("hn,hn->n", entrance.forward(V[l]), d) for l, entrance, d, _ in self.layers)
        slope *= self.inverse_weight
        for _, entrance, delta, out in self.layers:
            entrance.backward(delta * slope, out)
        return self.out


class _Entrance:
    """A layer's inputs abar, dense or sparse, as the linear map they are."""

    def __init__(self, abar, rows):
        self.dense = isinstance(abar, np.ndarray)
        self.abar = abar[:, rows] if self.dense else abar[rows]
        self.transposed = None if self.dense else self.abar.T

    def forward(self, V):
        """Return V^T abar."""
        return V.T @ self.abar if self.dense else np.ascontiguousarray((self.abar @ V).T)

    def backward(self, response, out):
        """Write abar response^T into out."""
        if self.dense:
            np.matmul(self.abar, response.T, out=out)
        else:
            out[...] = self.transposed @ response.T


def _loss_product(p, rows):
    """Return v -> w (d2 loss / dz2) v for v of shape (K, samples)."""
    loss, curvature = p.network.loss, p.loss_curvature[rows]
    weight = p.weight[rows] if isinstance(p.weight, np.ndarray) else p.weight
    if loss.diagonal:
        diagonal = np.multiply(curvature.T, weight, order="C")
        return lambda v: diagonal * v

    def product(v):
        u = loss.curvature_product(curvature, v.T).T
        u *= weight
        return u

    return product


def inverse_weight(p):
    """Return 1 / w_n of shape (n,), 0 where w_n = 0: deltas hold w_n, outer products of them w_n twice."""
    w = np.broadcast_to(np.asarray(p.weight, p.z[-1].dtype), (p.n_samples,))
    return np.divide(1, w, out=np.zeros_like(w), where=w > 0)


def product_flops(network, n_samples, *, exact=True, layer=None):
    """Return the floating-point operations of one product: its matrix products.

    Four passes over the weights of each layer (forward and back, both for the direction and for the
    weights) for Gauss-Newton, six for the Hessian; the first layer passes nothing on.
    """
    passes = 12.0 if exact and layer is None else 8.0
    sizes = [part.stop - part.start for part in network.layer_slices[layer or 0 :]]
    return n_samples * (4.0 * sizes[0] + (passes if layer is None else 4.0) * sum(sizes[1:]))


def fisher_product_flops(network, n_samples, *, layer=None):
    """Return the floating-point operations of one product with the empirical Fisher matrix."""
    part = slice(0, network.n_params) if layer is None else network.layer_slices[layer]
    return 4.0 * n_samples * (part.stop - part.start)
