"""Factors G with A = G^T G plus a diagonal: rows of per-sample gradients, and of weighted output Jacobians.

They are built as G^T, parameters first and rows last, so that every operation runs along the samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_even_slices

from qnewton_sk.machine import NUMBER_FLOPS, available_threads, one_blas_thread, run_tasks, workspaces_of
from qnewton_sk.nets import BaseObjective, Network, Objective, Pass, dense_inputs

Array = NDArray[Any]

TEMPORARY_BYTES = 2**26
"""Memory for the columns of G^T that exist at a time for a Gram matrix, in bytes: at N = 10^4 these are still 10^3
columns, with which the product runs at full speed."""

GRAM_BYTES = 2**22
"""Size up to which the Gram matrix of a layer's derivatives is kept: every layer of a deep net has one."""


@dataclass(frozen=True)
class LayerRows:
    """The columns of G that belong to one layer, where every row is the outer product of inputs and derivatives.

    Parameters
    ----------
    inputs : ndarray of shape (h_{l-1} + 1, n)
        Inputs of the layer, with a row of ones for the intercepts.
    derivatives : ndarray of shape (h_l, R, n)
        Derivatives of R functions of each sample with respect to what the units add up.
    """

    inputs: Array
    derivatives: Array

    @property
    def gram(self) -> Array:
        """Gram matrix of the derivatives, shape (R n, R n); penalties do not change it, and small ones are kept."""
        flat = self.derivatives.reshape(len(self.derivatives), -1)
        return self._kept_gram if flat.itemsize * flat.shape[1] ** 2 <= GRAM_BYTES else flat.T @ flat

    @cached_property
    def _kept_gram(self) -> Array:
        flat = self.derivatives.reshape(len(self.derivatives), -1)
        return flat.T @ flat

    def samples(self, rows: slice) -> "LayerRows":
        """Return the rows of some samples."""
        return LayerRows(self.inputs[:, rows], self.derivatives[..., rows])

    def columns(self) -> Array:
        """Return the columns, one row of the result each: shape (size of the layer, R n)."""
        h, R, n = self.derivatives.shape
        return (self.inputs[:, None, None] * self.derivatives).reshape(-1, R * n)


def gradient_rows(objective: BaseObjective, theta: Array, layer: int | None = None) -> Array:
    """Return the rows sqrt(w_n) g_n of the empirical Fisher matrix, where g_n is the gradient of sample n's loss.

    Parameters
    ----------
    objective : BaseObjective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters.
    layer : int, default=None
        The layer of whose parameters the columns are; by default all.

    Returns
    -------
    ndarray of shape (n, n_params), or (n, size of the layer), in Fortran order
    """
    return objective.rows_of_parts(_gradient_rows, theta, layer)


def _gradient_rows(part: Objective, theta: Array, layer: int | None) -> Array:
    GT = np.empty((_size(part, layer), part.n_samples), part.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for p in part.passes(theta):
            rows = slice(0, p.n_samples)
            _write_gradients(p, rows, GT[:, p.position(rows)], layer)
    return GT.T


def jacobian_rows(objective: BaseObjective, theta: Array, layer: int | None = None) -> Array:
    """Return the rows C_n J_n of Gauss-Newton, with J_n = dz_L / dtheta and C_n^T C_n the loss's Hessian.

    The loss must be convex. Weights are included; the rows of one output stand together, part by part of the data.

    Parameters
    ----------
    objective : BaseObjective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters.
    layer : int, default=None
        The layer of whose parameters the columns are; by default all.

    Returns
    -------
    ndarray of shape (n * K, n_params), or (n * K, size of the layer), in Fortran order
    """
    return objective.rows_of_parts(_jacobian_rows, theta, layer)


def _jacobian_rows(part: Objective, theta: Array, layer: int | None) -> Array:
    n, outputs = part.n_samples, part.network.widths[-1]
    GT = np.empty((_size(part, layer), outputs, n), part.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for p in part.passes(theta):
            rows = slice(0, p.n_samples)
            for j, root in enumerate(_loss_roots(p, rows)):
                _write_jacobian(p, rows, root, GT[:, j, p.position(rows)], layer)
    return GT.reshape(len(GT), -1).T


def curvature_rank(network: Network) -> int:
    """Return the rank of the loss's Hessian in the outputs of one sample: K, or K - 1 if shifts change nothing."""
    return network.widths[-1] - int(network.loss.is_shift_invariant)


def jacobian_factors(objective: Objective, theta: Array) -> list[LayerRows]:
    """Return what the rows of `jacobian_rows` are outer products of, layer by layer.

    The row of output j and sample n is, for the weights of layer l, the outer product of the layer's inputs and of row
    j of C_n dz_L / dz_l. Gram matrices of the rows need these factors alone: that of a layer is the elementwise product
    of the Gram matrices of its two factors.

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters.

    Returns
    -------
    list of LayerRows
        In double precision.
    """
    n, widths, rank = objective.n_samples, objective.network.widths, curvature_rank(objective.network)
    inputs = [np.empty((h + 1, n)) for h in widths[:-1]]
    derivatives = [np.empty((h, rank, n)) for h in widths[1:]]
    with np.errstate(over="ignore", invalid="ignore"):
        for p in objective.passes(theta):
            rows = slice(0, p.n_samples)
            place = p.position(rows)
            for l, abar in enumerate(p.inputs):
                inputs[l][:, place] = dense_inputs(abar, rows)
            for j, root in enumerate(_loss_roots(p, rows)[:rank]):
                for l, u in _carried_back(p, rows, root):
                    derivatives[l][:, j, place] = u
    return [LayerRows(*pair) for pair in zip(inputs, derivatives)]


def gradient_gram(
    objective: BaseObjective, theta: Array, layer: int | None = None, temporary_bytes: int = TEMPORARY_BYTES
) -> Array:
    """Return sum_n w_n g_n g_n^T, symmetric to the bit; the gradients exist one chunk at a time."""
    return _gram(objective, theta, layer, temporary_bytes, _no_roots, _write_gradient_column)


def jacobian_gram(
    objective: BaseObjective, theta: Array, layer: int | None = None, temporary_bytes: int = TEMPORARY_BYTES
) -> Array:
    """Return sum_n J_n^T C_n^T C_n J_n, symmetric to the bit; the Jacobians exist one chunk at a time."""
    return _gram(objective, theta, layer, temporary_bytes, _loss_roots, _write_jacobian)


def gram_flops(network: Network, rows: int, *, layer: int | None = None) -> float:
    """Return the floating-point operations of the Gram matrix of `rows` rows, one triangle, and of G."""
    sizes = [part.stop - part.start for part in network.layer_slices]
    n = float(sum(sizes) if layer is None else sizes[layer])
    return rows * (n * n + NUMBER_FLOPS * n)


def _gram(
    objective: BaseObjective,
    theta: Array,
    layer: int | None,
    temporary_bytes: int,
    roots: Callable[[Pass, slice], list[Any]],
    write: Callable[..., None],
) -> Any:
    """Return G^T G, summed over the parts of the data."""
    n = _size(objective, layer)
    gram = np.zeros((n, n), objective.dtype)
    objective.over_parts(_add_gram, gram, theta, layer, temporary_bytes, roots, write)
    return gram


def _add_gram(
    objective: Objective,
    out: Array,
    theta: Array,
    layer: int | None,
    temporary_bytes: int,
    roots: Callable[[Pass, slice], list[Any]],
    write: Callable[..., None],
) -> float:
    """Add G^T G of a part to `out`, summed over groups of samples.

    The groups depend on the sizes alone, and their sums are added in order, so that the result is the same to the last
    bit on any number of threads.
    """
    n = _size(objective, layer)
    size = max(1, int(temporary_bytes // (n * objective.dtype.itemsize)))
    workspaces = workspaces_of(objective, available_threads())
    total = _OrderedSum(out)

    def add(p: Pass, rows: slice, number: int, workspace: Any) -> None:
        part, gram = (_square(workspace, name, n) for name in ("part", "gram"))
        target = part
        for start in range(rows.start, rows.stop, size):
            chunk = slice(start, min(start + size, rows.stop))
            for root in roots(p, chunk):
                GT = workspace.array("factor", n, chunk.stop - chunk.start)
                write(p, chunk, root, GT, layer)
                np.matmul(GT, GT.T, out=target)  # numpy calls syrk for this and mirrors the triangle
                if target is gram:
                    part += gram
                target = gram
        total.add(number, part)

    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        for p in objective.passes(theta):
            groups = list(gen_even_slices(p.n_samples, _groups(p.n_samples)))
            tasks = [partial(add, p, rows, number) for number, rows in enumerate(groups, start=total.count)]
            n_rows = p.n_samples * objective.network.widths[-1]
            run_tasks(tasks, workspaces, gram_flops(objective.network, n_rows, layer=layer))
    return 0.0


def _square(workspace: Any, name: str, n: int) -> Array:
    """Return an array of shape (n, n), one that is reused unless it is large."""
    kept = n * n * workspace.dtype.itemsize <= TEMPORARY_BYTES
    return workspace.array(name, n, n) if kept else np.empty((n, n), workspace.dtype)


MAX_GROUPS, GROUP_SAMPLES, PAIR_SAMPLES = 8, 512, 200
"""Maximum number of groups, samples per group, and samples per group if there are two of them. On one thread, eight
groups of 1250 samples take 6 % longer than one (N = 705), two of 221 samples 15 % longer (N = 1201)."""


def _groups(n_samples: int) -> int:
    """Return the number of groups of samples that are added up."""
    return max(1, min(2, n_samples // PAIR_SAMPLES), min(MAX_GROUPS, n_samples // GROUP_SAMPLES))


class _OrderedSum:
    """A sum whose terms arrive in any order and are added to an array in the order of their numbers."""

    def __init__(self, value: Array) -> None:
        self.value = value
        self.count = 0
        self._waiting: dict[int, Any] = {}
        self._lock = Lock()

    def add(self, number: int, term: Any) -> None:
        """Add the term `number`, or a copy of it later, after all terms before it."""
        with self._lock:
            if number > self.count:
                self._waiting[number] = term.copy()
                return
            while term is not None:
                self.value += term
                self.count += 1
                term = self._waiting.pop(self.count, None)


def _size(objective: BaseObjective, layer: int | None) -> int:
    part = slice(0, objective.n_params) if layer is None else objective.network.layer_slices[layer]
    return part.stop - part.start


def _write_gradients(p: Pass, rows: slice, out: Array, layer: int | None) -> None:
    scale = np.sqrt(p.inverse_weights(rows))
    for l, target in _layer_rows(p, out, layer):
        np.multiply(dense_inputs(p.inputs[l], rows)[:, None], p.deltas[l][:, rows] * scale, out=target)


def _no_roots(p: Pass, rows: slice) -> list[Any]:
    """Return one empty root: a gradient is a single column."""
    return [None]


def _write_gradient_column(p: Pass, rows: slice, root: Any, out: Array, layer: int | None) -> None:
    _write_gradients(p, rows, out, layer)


def _write_jacobian(p: Pass, rows: slice, root: Array, out: Array, layer: int | None) -> None:
    """Carry the row `root` of the loss's root, of shape (K, samples), back through the layers."""
    targets = dict(_layer_rows(p, out, layer))
    for l, u in _carried_back(p, rows, root, min(targets)):
        if l in targets:
            np.multiply(dense_inputs(p.inputs[l], rows)[:, None], u, out=targets[l])


def _carried_back(p: Pass, rows: slice, root: Array, first: int = 0) -> Iterator[tuple[int, Array]]:
    """Yield (l, root dz_L / dz_l of shape (h_l, samples)) from the last layer down to layer `first`."""
    u = root
    for l in range(len(p.layers) - 1, first - 1, -1):
        yield l, u
        if l > first:
            W = p.layers[l][:-1]
            u = W * u if W.shape[1] == 1 else W @ u
            u *= p.derivatives[l - 1][:, rows]


def _layer_rows(p: Pass, out: Array, layer: int | None) -> list[tuple[int, Array]]:
    """Return (l, view of `out` of shape (h_{l-1} + 1, h_l, samples)) for each layer that it holds."""
    layers = range(len(p.layers)) if layer is None else [layer]
    start, views = 0, []
    for l in layers:
        W = p.layers[l]
        views.append((l, out[start : start + W.size].reshape(*W.shape, out.shape[1])))
        start += W.size
    return views


def _loss_roots(p: Pass, rows: slice) -> list[Any]:
    """Return K arrays of shape (K, samples): row j of C_n with C_n^T C_n = w_n times the loss's Hessian.

    It is the outer-product Cholesky factorisation of all samples at once (Golub and Van Loan, 4th ed., algorithm
    4.2.1); a pivot that is zero to rounding, such as the last one of softmax, gives a row of zeros.
    """
    loss, outputs = p.network.loss, len(p.z[-1])
    weight = np.broadcast_to(np.asarray(p.weight, p.z[-1].dtype), (p.n_samples,))[rows]
    if loss.has_diagonal_hessian:
        roots = np.sqrt(loss.hessian(p.raw[rows], p.targets[rows]).T * weight)
        return [root * np.eye(outputs, dtype=root.dtype)[:, j : j + 1] for j, root in enumerate(roots)]
    H = loss.hessian(p.raw[rows], p.targets[rows]).transpose(1, 2, 0) * weight
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
