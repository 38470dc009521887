"""Factors G with A = G^T G plus a diagonal: rows of per-sample gradients, and of weighted output Jacobians.

They are built as G^T, parameters first and rows last, where every operation runs along the samples.
"""

from functools import partial

import numpy as np
from sklearn.utils import gen_even_slices

from qnewton_sk.machine import (
    NUMBER_FLOPS,
    available_threads,
    one_blas_thread,
    run_tasks,
    threads_for,
    workspaces_of,
)

from .products import inverse_weight
from .sample_derivatives import inputs_of

TEMPORARY_BYTES = 2**26
"""Columns of G^T held at once for a Gram matrix: at N = 10^4 still 10^3 of them, where the product runs at
full speed."""


def gradient_rows(objective, theta, layer=None):
    """Return the rows sqrt(w_n) g_n of the empirical Fisher matrix, g_n the gradient of sample n's loss.

    Returns
    -------
    ndarray of shape (n, n_params), or (n, size of the layer), in Fortran order
    """
    GT = np.empty((_size(objective, layer), objective.n_samples), objective.dtype)
    for p, rows, position in _chunks(objective, theta, objective.n_samples):
        _write_gradients(p, rows, GT[:, position], layer)
    return GT.T


def jacobian_rows(objective, theta, layer=None):
    """Return the rows C_n J_n of Gauss-Newton, with J_n = dz_L / dtheta and C_n^T C_n the loss's Hessian.

    The loss must be convex. Weights are included; the rows of one output stand together.

    Returns
    -------
    ndarray of shape (n * K, n_params), or (n * K, size of the layer), in Fortran order
    """
    n, outputs = objective.n_samples, objective.network.widths[-1]
    GT = np.empty((_size(objective, layer), outputs, n), objective.dtype)
    for p, rows, position in _chunks(objective, theta, n):
        for j, root in enumerate(_loss_roots(p, rows)):
            _write_jacobian(p, rows, root, GT[:, j, position], layer)
    return GT.reshape(len(GT), -1).T


def gradient_gram(objective, theta, layer=None, temporary_bytes=TEMPORARY_BYTES):
    """Return sum_n w_n g_n g_n^T, symmetric to the bit; the gradients exist a chunk at a time."""
    return _gram(objective, theta, layer, temporary_bytes, lambda p, rows: [None], _write_gradient_column)


def jacobian_gram(objective, theta, layer=None, temporary_bytes=TEMPORARY_BYTES):
    """Return sum_n J_n^T C_n^T C_n J_n, symmetric to the bit; the Jacobians exist a chunk at a time."""
    return _gram(objective, theta, layer, temporary_bytes, _loss_roots, _write_jacobian)


def gram_flops(network, rows, *, layer=None):
    """Return the floating-point operations of the Gram matrix of `rows` rows, one triangle, and of G."""
    sizes = [part.stop - part.start for part in network.layer_slices]
    n = float(sum(sizes) if layer is None else sizes[layer])
    return rows * (n * n + NUMBER_FLOPS * n)


def _gram(objective, theta, layer, temporary_bytes, roots, write):
    """Return G^T G summed over pieces of samples; each thread has a sum of its own, of all pieces that it took."""
    n = _size(objective, layer)
    size = max(1, int(temporary_bytes // (n * objective.dtype.itemsize)))
    outputs = objective.network.widths[-1]
    sums = [_Sum(workspace.array) for workspace in workspaces_of(objective, available_threads())]

    def add(p, rows, total):
        for root in roots(p, rows):
            GT = total.array("factor", n, rows.stop - rows.start)
            write(p, rows, root, GT, layer)
            total.add(GT @ GT.T)  # numpy calls syrk for this and mirrors the triangle

    with one_blas_thread():
        for p in objective.passes(theta):
            flops = gram_flops(objective.network, p.n_samples * outputs, layer=layer)
            pieces = min(max(threads_for(flops), -(-p.n_samples // size)), p.n_samples)
            tasks = [partial(add, p, rows) for rows in gen_even_slices(p.n_samples, pieces)]
            run_tasks(tasks, sums, flops)
    first, *others = [total.value for total in sums if total.value is not None]
    for other in others:
        first += other
    return first


class _Sum:
    """What one thread adds up, and its memory for temporaries."""

    def __init__(self, array):
        self.array, self.value = array, None

    def add(self, gram):
        self.value = gram if self.value is None else np.add(self.value, gram, out=self.value)


def _size(objective, layer):
    part = slice(0, objective.n_params) if layer is None else objective.network.layer_slices[layer]
    return part.stop - part.start


def _chunks(objective, theta, size):
    """Yield (pass, slice of its samples, slice of all samples)."""
    passed = 0
    for p in objective.passes(theta):
        for start in range(0, p.n_samples, size):
            stop = min(start + size, p.n_samples)
            yield p, slice(start, stop), slice(passed + start, passed + stop)
        passed += p.n_samples


def _write_gradients(p, rows, out, layer):
    scale = np.sqrt(inverse_weight(p)[rows])
    for l, target in _layer_rows(p, out, layer):
        np.multiply(inputs_of(p, l, rows)[:, None], p.deltas[l][:, rows] * scale, out=target)


def _write_gradient_column(p, rows, root, out, layer):
    _write_gradients(p, rows, out, layer)


def _write_jacobian(p, rows, root, out, layer):
    """Carry the row `root` of the loss's root, of shape (K, samples), back through the layers."""
    targets = dict(_layer_rows(p, out, layer))
    u = root
    for l in range(len(p.layers) - 1, min(targets) - 1, -1):
        if l in targets:
            np.multiply(inputs_of(p, l, rows)[:, None], u, out=targets[l])
        if l:
            W = p.layers[l][:-1]
            u = W * u if W.shape[1] == 1 else W @ u
            u *= p.slopes[l - 1][:, rows]


def _layer_rows(p, out, layer):
    """Return (l, view of `out` of shape (h_{l-1} + 1, h_l, samples)) for each layer that it holds."""
    layers = range(len(p.layers)) if layer is None else [layer]
    start, views = 0, []
    for l in layers:
        W = p.layers[l]
        views.append((l, out[start : start + W.size].reshape(*W.shape, out.shape[1])))
        start += W.size
    return views


def _loss_roots(p, rows):
    """Return K arrays of shape (K, samples): row j of C_n with C_n^T C_n = w_n times the loss's Hessian.

    Outer-product Cholesky, all samples at once (Golub and Van Loan, 4th ed., algorithm 4.2.1); a pivot
    that is zero to rounding, such as the last one of softmax, gives a zero row.
    """
    loss, outputs = p.network.loss, len(p.z[-1])
    weight = np.broadcast_to(np.asarray(p.weight, p.z[-1].dtype), (p.n_samples,))[rows]
    if loss.diagonal:
        roots = np.sqrt(loss.hessian(p.raw[rows], p.y[rows]).T * weight)
        return [root * np.eye(outputs, dtype=root.dtype)[:, j : j + 1] for j, root in enumerate(roots)]
    H = loss.hessian(p.raw[rows], p.y[rows]).transpose(1, 2, 0) * weight
    tiny = outputs * np.finfo(H.dtype).eps * np.einsum("kkn->n", H)
    roots = []
    for j in range(outputs):
        pivot = H[j, j]
        scale = np.divide(1, np.sqrt(np.maximum(pivot, 0)), out=np.zeros_like(pivot), where=pivot > tiny)
        root = H[j] * scale
        root[:j] = 0
        H = H - root[:, None] * root
        roots.append(root)
    return roots
