"""Entries of the exact Hessian and of the Gauss-Newton matrix, block by block of layers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.machine import NUMBER_FLOPS, available_threads, one_blas_thread, run_tasks, workspaces_of
from qnewton_sk.nets import BaseObjective, Network, Objective, Pass

from .input_tiles import Tile, all_pairs, input_tiles, pair_tiles, rare_and_other_inputs
from .layer_blocks import (
    by_pairs,
    cross_by_inputs,
    cross_by_units,
    diagonal_by_inputs,
    diagonal_by_pairs,
    pairs_per_piece,
)
from .sample_derivatives import SampleCurvature, floats_per_sample, free_outputs

Array = NDArray[Any]

TEMPORARY_BYTES = 2**27
"""Memory for what an assembly holds beside its result, in bytes; samples are taken in chunks that fit."""

KEPT_BYTES = 2**27
"""Memory up to which products of inputs, which follow from X alone, are kept from step to step, in bytes."""


def assemble(
    objective: BaseObjective,
    theta: Array,
    *,
    exact: bool = True,
    layer: int | None = None,
    temporary_bytes: int = TEMPORARY_BYTES,
) -> Array:
    """Return the Hessian of the objective, or its Gauss-Newton matrix; the penalty is included.

    Let u_l be a perturbation of z_l, S_ij = d2 loss / du_i du_j and J_ki = d a_i / d u_k for every sample. Then

        H[(s,r),(q,p)] = sum_n abar_{k-1}[s] (abar_{i-1}[q] S_ki[r,p] + J_k,i-1[r,q] delta_i[p])

    is the block of layers k < i, where S and delta hold the weights; the second term has no bias row q and is
    absent for k = i. Gauss-Newton leaves out this term, and f'' in S. (S is the pre-activation Hessian of
    Botev, Ritter, Barber 2017, arXiv:1706.03662, equations 5 to 8, here between all pairs of layers.) Where a number
    added to all the outputs changes nothing, the entries of the last output follow from those of the others.

    Parameters
    ----------
    objective : BaseObjective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters.
    exact : bool, default=True
        Whether the matrix is the Hessian; False for Gauss-Newton.
    layer : int, default=None
        The layer whose diagonal block is meant; by default the whole matrix.
    temporary_bytes : int, default=TEMPORARY_BYTES
        Memory for temporaries, in bytes.

    Returns
    -------
    ndarray of shape (n_params, n_params), or of the layer's size
        C-contiguous, symmetric to the bit.
    """
    network = objective.network
    layers: Sequence[int] = range(network.n_layers) if layer is None else [layer]
    start = network.layer_slices[layers[0]].start
    n = network.layer_slices[layers[-1]].stop - start
    H = np.zeros((n, n), objective.dtype)
    objective.over_parts(_add_blocks, H, theta, exact, layer, temporary_bytes)
    with np.errstate(over="ignore", invalid="ignore"):
        _fill_last_output(H, network, layers, start)
    _mirror_blocks(H, network, layers, start)
    H.reshape(-1)[:: n + 1] += objective.penalties[start : start + n]
    return H


def _add_blocks(
    part: Objective, H: Array, theta: Array, exact: bool, layer: int | None, temporary_bytes: int
) -> float:
    """Write the blocks on and above the diagonal, summed over the samples of a part, into H, which is zero."""
    network = part.network
    layers: Sequence[int] = range(network.n_layers) if layer is None else [layer]
    units = (*network.widths[1:-1], free_outputs(network))
    targets = _targets(H, network, layers, network.layer_slices[layers[0]].start)
    targets = {(k, i): block[:, : units[k], :, : units[i]] for (k, i), block in targets.items()}
    arrays = [workspace.array for workspace in workspaces_of(part, available_threads())]
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        for p, rows in _pieces(part, theta, temporary_bytes):
            curvature = SampleCurvature(p, rows, exact, layers, arrays[0])
            tasks: list[Any] = []
            for (k, i), target in targets.items():
                tasks += _block_tasks(part, curvature, k, i, target, p.position(rows))
            flops = matrix_product_flops(network, curvature.n_samples, exact=exact, layer=layer)
            run_tasks(tasks, arrays, flops)
    return 0.0


def _targets(H: Array, network: Network, layers: Sequence[int], start: int) -> dict[tuple[int, int], Array]:
    """Return (k, i) -> view of the block of layers k <= i, of shape (inputs, units, inputs, units)."""
    shapes = [(a + 1, b) for a, b in zip(network.widths, network.widths[1:])]
    return {
        (k, i): _view(H, network.layer_slices[k], network.layer_slices[i], start).reshape(
            *shapes[k], *shapes[i]
        )
        for k in layers
        for i in layers
        if k <= i
    }


def _view(H: Array, rows: slice, columns: slice, start: int) -> Array:
    return H[rows.start - start : rows.stop - start, columns.start - start : columns.stop - start]


def _pieces(objective: Objective, theta: Array, temporary_bytes: int) -> Iterator[tuple[Pass, slice]]:
    """Yield (pass, slice of its samples), so many samples that temporaries stay within their memory."""
    network = objective.network
    P, h = network.widths[0] + 1, network.widths[1]
    floats = floats_per_sample(network) + (_pairs(P) if by_pairs(P, h) else 0)
    size = max(1, int(temporary_bytes // (objective.dtype.itemsize * floats)))
    for p in objective.passes(theta):
        for rows in p.pieces(size):
            yield p, rows


def _block_tasks(
    objective: Objective, curvature: SampleCurvature, k: int, i: int, target: Array, position: slice
) -> list[Any]:
    """Return independent tasks that add the block of layers k <= i for some samples."""
    first, exact = position.start == 0, curvature.exact
    narrow = by_pairs(*target.shape[:2])
    if k == i:
        if not narrow:
            return diagonal_by_inputs(target, *curvature.nonzero_inputs(k), curvature.packed(k), first)
        x = curvature.inputs(k)
        tiles = _pair_tiles(objective, x, k, position, target.shape[1])
        packed = curvature.packed(k, some_samples=any(tile.samples is not None for tile in tiles))
        return diagonal_by_pairs(target, x, packed, first, tiles)
    S, a = curvature.S[k, i], curvature.inputs(i)
    if exact and i > k + 1:
        J, tiles = curvature.J[k, i - 1], _unit_tiles(objective, curvature, k, position)
        return cross_by_units(target, tiles, a, S, first, J=J, delta=curvature.delta(i))
    derivative, delta = (curvature.derivative(k), curvature.delta(i)) if exact else (None, None)
    x, most = curvature.inputs(k), S.shape[0] * S.shape[1]
    if narrow and (len(x) <= most or len(curvature.nonzero_inputs(k)[1]) <= most):
        tiles = _input_tiles(objective, x, k, position)
        return cross_by_inputs(target, tiles, a, S, first, shared=(derivative, delta) if exact else None)
    tiles = _unit_tiles(objective, curvature, k, position)
    return cross_by_units(target, tiles, a, S, first, derivative=derivative, delta=delta)


def _pairs(n: int) -> int:
    return n * (n + 1) // 2


def _pair_tiles(objective: Objective, x: Array, k: int, position: slice, h: int) -> list[Tile]:
    """Return the products of inputs, which are formed when they are needed; those of X itself are kept."""
    if k > 0 or _pairs(len(x)) * objective.n_samples * x.itemsize > KEPT_BYTES * objective.share:
        return all_pairs(len(x), pairs_per_piece(h, x.shape[1], x.itemsize))
    return _kept(objective, ("pair tiles", position.start, position.stop), lambda: pair_tiles(x))


def _input_tiles(objective: Objective, x: Array, k: int, position: slice) -> list[Tile]:
    """Return the inputs in tiles; those of X itself are kept."""
    if k > 0 or len(x) * objective.n_samples * x.itemsize > KEPT_BYTES * objective.share:
        return [Tile(np.arange(len(x)), None, x)]
    return _kept(objective, ("input tiles", position.start, position.stop), lambda: input_tiles(x))


def _unit_tiles(objective: Objective, curvature: SampleCurvature, k: int, position: slice) -> list[Tile]:
    """Return the inputs in one tile, or the rare ones in a tile of their own; tiles of X itself are kept."""
    x, tiles = curvature.inputs(k), []
    if k == 0 and len(x) * objective.n_samples * x.itemsize <= KEPT_BYTES * objective.share:
        key = ("unit tiles", position.start, position.stop)
        tiles = _kept(objective, key, lambda: rare_and_other_inputs(x))
    elif k == 0:
        tiles = rare_and_other_inputs(x)
    if tiles:
        return tiles
    inputs, x = curvature.nonzero_inputs(k)
    return [Tile(inputs, None, x)]


def _kept(objective: Objective, key: Any, make: Callable[[], list[Tile]]) -> list[Tile]:
    if key not in objective.memo:
        objective.memo[key] = make()
    return objective.memo[key]


def _fill_last_output(H: Array, network: Network, layers: Sequence[int], start: int) -> None:
    """Fill in what `free_outputs` leaves out of the blocks on and above the diagonal: the sum over the outputs is 0."""
    last = network.n_layers - 1
    if free_outputs(network) == network.widths[-1]:
        return
    for (k, i), block in _targets(H, network, layers, start).items():
        if k < i == last:
            block[..., -1] = _minus_sum(block[..., :-1])
        elif k == last:
            # the last rows are copies of the last columns, so that the matrix is symmetric to the bit
            block[:, :-1, :, -1] = _minus_sum(block[:, :-1, :, :-1])
            block[:, -1, :, :-1] = block[:, :-1, :, -1].transpose(2, 0, 1)
            block[:, -1, :, -1] = _minus_sum(block[:, -1, :, :-1])


def _minus_sum(entries: Array) -> Array:
    """Return minus the sum over the last axis; numpy's own takes twice as long for rows of a few entries."""
    total = -entries[..., 0]
    for output in range(1, entries.shape[-1]):
        total -= entries[..., output]
    return total


def _mirror_blocks(H: Array, network: Network, layers: Sequence[int], start: int) -> None:
    """Copy the blocks above the diagonal to below it."""
    for k in layers:
        rows = network.layer_slices[k]
        right = slice(rows.stop, start + len(H))
        copy_transposed(_view(H, rows, right, start), _view(H, right, rows, start))


def copy_transposed(source: Array, target: Array, tile: int = 256) -> None:
    """Write source.T into target, tile by tile, so that both stay in the cache."""
    for a in range(0, source.shape[0], tile):
        for b in range(0, source.shape[1], tile):
            target[b : b + tile, a : a + tile] = source[a : a + tile, b : b + tile].T


def assembly_flops(
    network: Network, n_samples: int, *, exact: bool = True, layer: int | None = None
) -> float:
    """Return the floating-point operations of `assemble`; a number built or moved counts `NUMBER_FLOPS`."""
    products, numbers, entries = _counts(network, exact, layer)
    return n_samples * products + NUMBER_FLOPS * (n_samples * numbers + entries)


def matrix_product_flops(
    network: Network, n_samples: int, *, exact: bool = True, layer: int | None = None
) -> float:
    """Return the operations of the matrix products in `assemble` if no input is zero and no output left out."""
    return n_samples * _counts(network, exact, layer)[0]


def _counts(network: Network, exact: bool, layer: int | None) -> tuple[float, float, float]:
    """Return operations of matrix products and numbers built, both per sample, and entries written."""
    widths = network.widths
    layers: Sequence[int] = range(network.n_layers) if layer is None else [layer]
    products = numbers = entries = 0.0
    for k in layers:
        for i in range(k, layers[-1] + 1):
            P, Q, R, T = widths[k] + 1, widths[i] + 1, widths[k + 1], widths[i + 1]
            shared = exact and i == k + 1
            products += 2.0 * (_pairs(P) * _pairs(R) if k == i else P * Q * R * T + shared * P * R * T)
            numbers += 2.0 * R * T + (_pairs(P) if k == i else P * Q)
            entries += 2.0 * P * Q * R * T
    return products, numbers, entries
