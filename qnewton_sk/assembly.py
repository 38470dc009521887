"""Entries of the exact Hessian and of the Gauss-Newton matrix, block by block of layers."""

import numpy as np

TEMPORARY_BYTES = 2**26
"""Memory for the temporaries of an assembly; samples are taken in chunks that fit."""


def assemble(objective, theta, *, exact=True, layer=None, temporary_bytes=TEMPORARY_BYTES):
    """Return the Hessian of the objective, or its Gauss-Newton matrix, penalty included.

    With u_l a perturbation of z_l, S_ij = d2 loss / du_i du_j and J_ki = d a_i / d u_k for every sample,

        H[(s,r),(q,p)] = sum_n w_n (abar_{k-1}[s] abar_{i-1}[q] S_ki[r,p] + abar_{k-1}[s] J_k,i-1[r,q] delta_i[p])

    is the block of layers k < i; the second term is absent for k = i. Gauss-Newton leaves it out, and f''
    in S (Botev, Ritter, Barber 2017, arXiv:1706.03662, equations 5 to 7, have S as the pre-activation
    Hessian).

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        Where.
    exact : bool, default=True
        The Hessian; False for Gauss-Newton.
    layer : int, default=None
        The diagonal block of one layer only.
    temporary_bytes : int, default=TEMPORARY_BYTES
        Memory for temporaries.

    Returns
    -------
    ndarray of shape (n_params, n_params), or of the layer's size
        C-contiguous, symmetric to the bit.
    """
    network = objective.network
    layers = range(network.n_layers) if layer is None else [layer]
    start = network.parts[layers[0]].start
    n = network.parts[layers[-1]].stop - start
    H = np.zeros((n, n), objective.dtype)
    blocks = [(k, i) for k in layers for i in layers if k <= i]
    for p in objective.passes(theta):
        size = _chunk_size(network, H.itemsize, temporary_bytes)
        for first in range(0, p.n_samples, size):
            local = _Local(p, slice(first, first + size), exact)
            for k, i in blocks:
                rows, columns = network.parts[k], network.parts[i]
                out = H[rows.start - start : rows.stop - start, columns.start - start : columns.stop - start]
                local.add_block(k, i, out)
    H.reshape(-1)[:: n + 1] += objective.penalty * network.penalised[start : start + n].astype(H.dtype)
    mirror(H)
    return H


def mirror(H, tile=128):
    """Copy the upper triangle of H to the lower one, tile by tile."""
    n = H.shape[0]
    for a in range(0, n, tile):
        b = min(a + tile, n)
        H[b:, a:b] = H[a:b, b:].T
        corner = H[a:b, a:b]
        corner[...] = np.triu(corner) + np.triu(corner, 1).T


def _chunk_size(network, itemsize, temporary_bytes):
    widths = network.widths
    inner = max(h * (h + 1) for h in widths[1:])
    pairs = max((a + 1) * (b + 1) for a in widths[:-1] for b in widths[:-1])
    return max(1, int(temporary_bytes // (itemsize * (pairs + 4 * inner * len(widths)))))


class _Local:
    """S, J and inputs of some samples, units first and samples last."""

    def __init__(self, p, rows, exact):
        self.network, self.layers, self.exact = p.network, p.layers, exact
        self.inputs = [_feature_major(a[rows]) for a in p.inputs]
        self.deltas = [_feature_major(d[rows]) for d in p.deltas]
        self.slopes = [_feature_major(f[rows]) for f in p.slopes]
        self.bends = [None if f is None else _feature_major(f[rows] * e[rows]) for f, e in zip(p.bends, p.errors)]
        self.S = self._second_derivatives(np.ascontiguousarray(p.loss_hessian()[rows].transpose(1, 2, 0)))
        self.J = {}

    def _second_derivatives(self, outermost):
        last = len(self.layers) - 1
        S = {(last, last): outermost}
        for i in range(last - 1, -1, -1):
            W, slope = self.layers[i + 1][:-1], self.slopes[i]
            for j in range(i + 1, last + 1):
                after = S[i + 1, j]
                S[i, j] = (W @ after.reshape(W.shape[1], -1)).reshape(-1, *after.shape[1:])
                S[i, j] *= slope[:, None]
            S[i, i] = np.matmul(W, S[i, i + 1])
            S[i, i] *= slope
            if self.exact and self.bends[i] is not None:
                h = len(slope)
                S[i, i].reshape(h * h, -1)[:: h + 1] += self.bends[i]
        return S

    def jacobian(self, k, m):
        """Return d a_m / d u_k, of shape (h_k, h_m, samples)."""
        if (k, m) not in self.J:
            if m == k + 1:
                J = self.slopes[k][:, None] * self.layers[m][:-1, :, None]
            else:
                J = np.matmul(self.layers[m][:-1].T, self.jacobian(k, m - 1))
            J *= self.slopes[m]
            self.J[k, m] = J
        return self.J[k, m]

    def add_block(self, k, i, out):
        """Add the block of layers k <= i to out."""
        x, a, S = self.inputs[k], self.inputs[i], self.S[k, i]
        pairs = (x[:, None] * a).reshape(len(x) * len(a), -1)
        product = pairs @ S.reshape(-1, S.shape[2]).T
        out4 = out.reshape(len(x), S.shape[0], len(a), S.shape[1])
        assert np.shares_memory(out4, out)
        out4 += product.reshape(len(x), len(a), *S.shape[:2]).transpose(0, 2, 1, 3)
        if k < i and self.exact:
            self._add_shared_weights(k, i, out4)

    def _add_shared_weights(self, k, i, out4):
        """The term in which the weights of layer i themselves act on what layer k passes on."""
        x, delta = self.inputs[k], self.deltas[i]
        if i == k + 1:
            slope = self.slopes[k]
            pairs = (slope[:, None] * delta).reshape(len(slope) * len(delta), -1)
            term = (x @ pairs.T).reshape(len(x), len(slope), len(delta))
            for r in range(len(slope)):
                out4[:, r, r] += term[:, r]
            return
        J = self.jacobian(k, i - 1)
        triples = (J[:, :, None] * delta).reshape(-1, x.shape[1])
        out4[:, :, :-1] += (x @ triples.T).reshape(len(x), *J.shape[:2], len(delta))


def _feature_major(a):
    """Return a contiguous transpose, dense."""
    return np.ascontiguousarray((a if isinstance(a, np.ndarray) else a.toarray()).T)


def assembly_flops(network, n_samples, *, exact=True, layer=None):
    """Return the floating-point operations of `assemble`, its matrix products alone."""
    widths = network.widths
    layers = range(network.n_layers) if layer is None else [layer]
    total = 0.0
    for k in layers:
        for i in layers:
            if k > i:
                continue
            rows, columns, r, p = widths[k] + 1, widths[i] + 1, widths[k + 1], widths[i + 1]
            total += 2.0 * rows * columns * r * p
            if exact and i > k:
                total += 2.0 * rows * r * p * (1 if i == k + 1 else columns)
    return total * n_samples
