"""Products of the Hessian, the Gauss-Newton matrix and the Fisher matrix with a vector, without the matrix."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.machine import run_tasks, threads_for
from qnewton_sk.nets import Network, Objective, Pass

from .directional import FisherSlab, HessianSlab

Array = NDArray[Any]

KEPT_BYTES = 2**29
"""Memory for what depends on theta alone and is kept between products, in bytes. What exceeds it is computed again for
every product, at about the cost of a gradient: with 10^6 samples and two hidden layers of 16 units in single precision,
all of Gauss-Newton is kept and 65 % of the Hessian, and a fit stays below 1 GB."""

SLAB_SAMPLES = 2048
"""Number of samples that are worked through at a time: for widths of 16 to 100 their derivatives and buffers stay in a
1 to 32 MB cache, and the calls of numpy still cost little compared with the arithmetic."""


class _Product:
    """v -> A v at one theta, as a sum over slabs of samples plus the penalty."""

    def __init__(self, objective: Objective, theta: Array, layer: int | None = None):
        self.objective, self.theta, self.layer = objective, theta.copy(), layer
        network = objective.network
        self.part = slice(0, network.n_params) if layer is None else network.layer_slices[layer]
        self._penalty = objective.penalties[self.part]
        self._v = np.zeros(network.n_params, objective.dtype)
        self._V = network.layers(self._v)
        self._kept: list[Any] | None = None

    def __call__(self, v: Array) -> Array:
        """Return the product, a new array of the shape of v."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._v[self.part] = v
            out = self._penalty * v
            chunks = range(self.objective.n_chunks)
            kept = self._chunks_to_keep()
            if self._kept is None:
                self._kept = self._slabs_of(chunks[:kept])
            self._add_kept(out)
            self.objective.over_chunks(self.theta, self._add, out, chunks[kept:])
        return out

    def _floats_per_sample(self) -> int:
        """Return the numbers that a slab holds per sample."""
        raise NotImplementedError

    def _slab(self, p: Pass, rows: slice) -> Any:
        """Return what is kept of some samples: a function from the layers of v to their part of the product."""
        raise NotImplementedError

    def _chunks_to_keep(self) -> int:
        """Return how many chunks of samples, the first ones, fit into `KEPT_BYTES`."""
        objective = self.objective
        floats = self._floats_per_sample()
        if not objective.keeps_inputs:
            floats += objective.network.widths[0] + 1
        needed = floats * objective.dtype.itemsize * objective.n_samples
        return int(objective.n_chunks * min(1.0, KEPT_BYTES / needed))

    def _slabs_of(self, chunks: range) -> list[Any]:
        slabs: dict[int, list[Any]] = {}

        def keep(p: Pass, _: Any) -> float:
            slabs[p.start] = [self._slab(p, rows) for rows in p.pieces(SLAB_SAMPLES)]
            return 0.0

        self.objective.over_chunks(self.theta, keep, None, chunks)
        return [slab for start in sorted(slabs) for slab in slabs[start]]

    def _add(self, p: Pass, out: Array) -> float:
        for rows in p.pieces(SLAB_SAMPLES):
            out += self._slab(p, rows)(self._V)
        return 0.0

    def _add_kept(self, out: Array) -> None:
        slabs = self._kept or []
        flops = product_flops(self.objective.network, self.objective.n_samples, layer=self.layer)
        tasks = [partial(_apply, slab, self._V) for slab in slabs]
        run_tasks(tasks, [None] * threads_for(flops), flops)
        for slab in slabs:
            out += slab.out


def _apply(slab: Any, V: list[Array], _: Any) -> None:
    slab(V)


class CurvatureProduct(_Product):
    """v -> H v, or G v, at one theta; the penalty is included.

    What depends on theta alone is computed at the first product and kept (Pearlmutter 1994, "Fast exact
    multiplication by the Hessian"; Schraudolph 2002, "Fast curvature matrix-vector products").

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters; they are copied.
    exact : bool, default=True
        Whether the matrix is the Hessian; False for Gauss-Newton.
    layer : int, default=None
        The layer whose diagonal block is meant; v then has that layer's size. By default the whole matrix.
    """

    def __init__(self, objective: Objective, theta: Array, *, exact: bool = True, layer: int | None = None):
        super().__init__(objective, theta, layer)
        self.exact = exact

    def _floats_per_sample(self) -> int:
        return HessianSlab.floats_per_sample(self.objective.network, self.exact, self.layer)

    def _slab(self, p: Pass, rows: slice) -> HessianSlab:
        return HessianSlab(p, rows, self.exact, self.layer)


class FisherProduct(_Product):
    """v -> F v at one theta; the penalty is included.

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters; they are copied.
    layer : int, default=None
        The layer whose diagonal block is meant; v then has that layer's size. By default the whole matrix.
    """

    def _floats_per_sample(self) -> int:
        return FisherSlab.floats_per_sample(self.objective.network, self.layer)

    def _slab(self, p: Pass, rows: slice) -> FisherSlab:
        return FisherSlab(p, rows, self.layer)


def product_flops(network: Network, n_samples: int, *, exact: bool = True, layer: int | None = None) -> float:
    """Return the floating-point operations of one product: those of its matrix products.

    There are four passes over the weights of each layer (forward and backward, each for the direction and for the
    weights) for Gauss-Newton, and six for the Hessian; the first layer passes nothing on.
    """
    passes = 12.0 if exact and layer is None else 8.0
    sizes = [part.stop - part.start for part in network.layer_slices[layer or 0 :]]
    return n_samples * (4.0 * sizes[0] + (passes if layer is None else 4.0) * sum(sizes[1:]))


def fisher_product_flops(network: Network, n_samples: int, *, layer: int | None = None) -> float:
    """Return the floating-point operations of one product with the empirical Fisher matrix."""
    part = slice(0, network.n_params) if layer is None else network.layer_slices[layer]
    return 4.0 * n_samples * (part.stop - part.start)
