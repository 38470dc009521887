"""Factors G with A = G^T G plus a diagonal: rows of per-sample gradients, and of weighted output Jacobians."""

import numpy as np

from .products import inverse_weight

TEMPORARY_BYTES = 2**28
"""Rows of gradients held at once: enough samples for the product to run at full speed up to N = 10^5."""


def gradient_rows(objective, theta, layer=None):
    """Return the rows sqrt(w_n) g_n of the empirical Fisher matrix, g_n the gradient of sample n's loss.

    Returns
    -------
    ndarray of shape (n, n_params), or (n, size of the layer)
    """
    G = _empty(objective, 1, layer)
    start = 0
    for p in objective.passes(theta):
        _write_gradients(p, slice(None), G[start : start + p.n_samples], layer)
        start += p.n_samples
    return G


def gradient_gram(objective, theta, layer=None, temporary_bytes=TEMPORARY_BYTES):
    """Return sum_n w_n g_n g_n^T, symmetric to the bit; the rows exist a chunk of samples at a time."""
    network, H = objective.network, None
    n = network.n_params if layer is None else network.parts[layer].stop - network.parts[layer].start
    size = max(1, int(temporary_bytes // (n * objective.dtype.itemsize)))
    for p in objective.passes(theta):
        for start in range(0, p.n_samples, size):
            G = np.empty((min(size, p.n_samples - start), n), objective.dtype)
            _write_gradients(p, slice(start, start + size), G, layer)
            gram = G.T @ G  # numpy calls syrk for this
            H = gram if H is None else np.add(H, gram, out=H)
    return H


def _write_gradients(p, samples, rows, layer):
    scale = np.sqrt(inverse_weight(p)[samples])[:, None]
    for l, out in _layer_columns(p, rows, layer):
        _outer_rows(p.inputs[l][samples], scale * p.deltas[l][samples], out)


def jacobian_rows(objective, theta, layer=None):
    """Return the rows C_n J_n of Gauss-Newton, with J_n = dz_L / dtheta and C_n^T C_n the loss's Hessian.

    The loss must be convex. Row n * K + j belongs to output j of sample n; weights are included.

    Returns
    -------
    ndarray of shape (n * K, n_params), or (n * K, size of the layer)
    """
    outputs = objective.network.widths[-1]
    G = _empty(objective, outputs, layer)
    start = 0
    for p in objective.passes(theta):
        for j, u in enumerate(_loss_roots(p)):
            rows = G[start + j : start + p.n_samples * outputs : outputs]
            columns = dict(_layer_columns(p, rows, layer))
            for l in range(len(p.layers) - 1, min(columns) - 1, -1):
                if l in columns:
                    _outer_rows(p.inputs[l], u, columns[l])
                if l:
                    W = p.layers[l][:-1]
                    u = (u * W[:, 0] if W.shape[1] == 1 else u @ W.T) * p.slopes[l - 1]
        start += p.n_samples * outputs
    return G


def _empty(objective, rows_per_sample, layer):
    network = objective.network
    part = slice(0, network.n_params) if layer is None else network.parts[layer]
    return np.empty((objective.n_samples * rows_per_sample, part.stop - part.start), objective.dtype)


def _layer_columns(p, rows, layer):
    """Return (l, view of shape (n, h_{l-1} + 1, h_l)) for each layer that the columns hold."""
    layers = range(len(p.layers)) if layer is None else [layer]
    start, views = 0, []
    for l in layers:
        W = p.layers[l]
        views.append((l, rows[:, start : start + W.size].reshape(len(rows), *W.shape)))
        start += W.size
    return views


def _outer_rows(abar, u, out):
    """Write abar_n (outer) u_n into out of shape (n, h, k)."""
    dense = abar if isinstance(abar, np.ndarray) else abar.toarray()
    np.multiply(dense[:, :, None], u[:, None, :], out=out)


def _loss_roots(p):
    """Return K arrays of shape (n, K): row j of C_n with C_n^T C_n = w_n times the loss's Hessian.

    Outer-product Cholesky, all samples at once (Golub and Van Loan, 4th ed., algorithm 4.2.1); a pivot
    that is zero to rounding, such as the last one of softmax, gives a zero row.
    """
    H = p.loss_hessian()
    outputs = H.shape[1]
    tiny = outputs * np.finfo(H.dtype).eps * np.einsum("nkk->n", H)
    roots = []
    for j in range(outputs):
        pivot = H[:, j, j]
        scale = np.divide(1, np.sqrt(np.maximum(pivot, 0)), out=np.zeros_like(pivot), where=pivot > tiny)
        root = H[:, j] * scale[:, None]
        root[:, :j] = 0
        H = H - root[:, :, None] * root[:, None, :]
        roots.append(root)
    return roots
