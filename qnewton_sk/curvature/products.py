"""Products of the Hessian, the Gauss-Newton matrix and the Fisher matrix with a vector, without the matrix."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.machine import run_tasks, threads_for
from qnewton_sk.nets import BaseObjective, Network, Objective, Pass

from .directional import FisherSlab, HessianSlab

Array = NDArray[Any]

KEPT_BYTES = 2**29
"""Memory for what depends on theta alone and is kept between products, in bytes. What exceeds it is computed again for
every product, at about the cost of a gradient: with 10^6 samples and two hidden layers of 16 units in single precision,
all of Gauss-Newton is kept and 65 % of the Hessian, and a fit stays below 1 GB."""

PRODUCT_OVER_GEMM, MIN_PRODUCT_FLOPS = 2.0, 2.6e6
"""Time of a product over that of its matrix products, whose operations are counted, and the operations in the time of a
small one, 0.08 ms of Python. Derivatives of activations are multiplied elementwise: nets of widths 16 to 100 on 150 to
10,000 samples took 1.3 to 2.4 times as long as their matrix products at GEMM rate, and small ones at least 0.12 ms."""

SLAB_SAMPLES = 2048
"""Number of samples that are worked through at a time: for widths of 16 to 100 their derivatives and buffers stay in a
1 to 32 MB cache, and the calls of numpy still cost little compared with the arithmetic."""


class _Owned(dict[Any, Any]):
    """What a product keeps for itself; it stays behind if the work goes to another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _Owned, ()


class _Product:
    """v -> A v at one theta, as a sum over the parts of the data plus the penalty."""

    def __init__(self, objective: BaseObjective, theta: Array, layer: int | None, kind: Any):
        self.objective, self.theta, self.layer, self.kind = objective, theta.copy(), layer, kind
        part = slice(0, objective.n_params) if layer is None else objective.network.layer_slices[layer]
        self._penalty = objective.penalties[part]
        self._owned = _Owned()

    def __call__(self, v: Array) -> Array:
        """Return the product, a new array of the shape of v."""
        with np.errstate(over="ignore", invalid="ignore"):
            out = self._penalty * v
            self.objective.over_parts(_add_product, out, self._owned, self.kind, self.layer, self.theta, v)
        return out


def _add_product(
    part: Objective, out: Array, owned: _Owned, kind: Any, layer: int | None, theta: Array, v: Array
) -> float:
    """Add the product of a part to `out`; what is kept of another theta is dropped first."""
    kept, key = part.kept_for(owned), (kind, layer)
    slabs = kept.get(key)
    if slabs is None or not np.array_equal(slabs.theta, theta):
        for other in [other for other, old in kept.items() if not np.array_equal(old.theta, theta)]:
            del kept[other]
        slabs = kept[key] = _Slabs(part, theta, layer, kind)
    slabs.add(part, out, v)
    return 0.0


class _Slabs:
    """Slabs of samples of one part at one theta, of which the first ones are kept between products.

    It does not refer to the part, which may keep it.
    """

    def __init__(self, part: Objective, theta: Array, layer: int | None, kind: Any):
        self.theta, self.layer, self.kind = theta, layer, kind
        network = part.network
        self._moving = slice(0, network.n_params) if layer is None else network.layer_slices[layer]
        self._v = np.zeros(network.n_params, part.dtype)
        self._V = network.layers(self._v)
        self._kept: list[Any] = []
        self._kept_chunks: int | None = None
        self._flops = product_flops(network, part.n_samples, layer=layer)

    def add(self, part: Objective, out: Array, v: Array) -> None:
        """Add the part's product with v to `out`."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._v[self._moving] = v
            if self._kept_chunks is None:
                self._kept_chunks = self._chunks_to_keep(part)
                self._kept = self._slabs_of(part, range(self._kept_chunks))
            self._add_kept(out)
            if self._kept_chunks < part.n_chunks:
                part.over_chunks(
                    self.theta, self._add, out, range(self._kept_chunks, part.n_chunks), transient=True
                )

    def _chunks_to_keep(self, part: Objective) -> int:
        """Return how many chunks of samples, the first ones, fit into the part's share of `KEPT_BYTES`."""
        floats = self.kind.floats_per_sample(part.network, self.layer)
        if not part.keeps_inputs:
            floats += part.network.widths[0] + 1
        needed = floats * part.dtype.itemsize * part.n_samples
        return int(part.n_chunks * min(1.0, KEPT_BYTES * part.share / needed))

    def _slabs_of(self, part: Objective, chunks: range) -> list[Any]:
        slabs: dict[int, list[Any]] = {}

        def keep(p: Pass, _: Any) -> float:
            slabs[p.start] = [self.kind.slab(p, rows, self.layer) for rows in p.pieces(SLAB_SAMPLES)]
            return 0.0

        part.over_chunks(self.theta, keep, None, chunks)
        return [slab for start in sorted(slabs) for slab in slabs[start]]

    def _add(self, p: Pass, out: Array) -> float:
        for rows in p.pieces(SLAB_SAMPLES):
            out += self.kind.slab(p, rows, self.layer)(self._V)
        return 0.0

    def _add_kept(self, out: Array) -> None:
        tasks = [partial(_apply, slab, self._V) for slab in self._kept]
        run_tasks(tasks, [None] * threads_for(self._flops), self._flops)
        for slab in self._kept:
            out += slab.out


def _apply(slab: Any, V: list[Array], _: Any) -> None:
    slab(V)


@dataclass(frozen=True)
class _SecondOrder:
    """Slabs of the Hessian, or of the Gauss-Newton matrix."""

    exact: bool

    def floats_per_sample(self, network: Network, layer: int | None) -> int:
        """Return the numbers that a slab holds per sample."""
        return HessianSlab.floats_per_sample(network, self.exact, layer)

    def slab(self, p: Pass, rows: slice, layer: int | None) -> HessianSlab:
        """Return what is kept of some samples: a function from the layers of v to their part of the product."""
        return HessianSlab(p, rows, self.exact, layer)


@dataclass(frozen=True)
class _Fisher:
    """Slabs of the empirical Fisher matrix."""

    def floats_per_sample(self, network: Network, layer: int | None) -> int:
        """Return the numbers that a slab holds per sample."""
        return FisherSlab.floats_per_sample(network, layer)

    def slab(self, p: Pass, rows: slice, layer: int | None) -> FisherSlab:
        """Return what is kept of some samples: a function from the layers of v to their part of the product."""
        return FisherSlab(p, rows, layer)


class CurvatureProduct(_Product):
    """v -> H v, or G v, at one theta; the penalty is included.

    What depends on theta alone is computed at the first product and kept (Pearlmutter 1994, "Fast exact
    multiplication by the Hessian"; Schraudolph 2002, "Fast curvature matrix-vector products").

    Parameters
    ----------
    objective : BaseObjective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters; they are copied.
    exact : bool, default=True
        Whether the matrix is the Hessian; False for Gauss-Newton.
    layer : int, default=None
        The layer whose diagonal block is meant; v then has that layer's size. By default the whole matrix.
    """

    def __init__(
        self, objective: BaseObjective, theta: Array, *, exact: bool = True, layer: int | None = None
    ):
        super().__init__(objective, theta, layer, _SecondOrder(exact))


class FisherProduct(_Product):
    """v -> F v at one theta; the penalty is included.

    Parameters
    ----------
    objective : BaseObjective
        The data and the net.
    theta : ndarray of shape (n_params,)
        The parameters; they are copied.
    layer : int, default=None
        The layer whose diagonal block is meant; v then has that layer's size. By default the whole matrix.
    """

    def __init__(self, objective: BaseObjective, theta: Array, layer: int | None = None):
        super().__init__(objective, theta, layer, _Fisher())


def product_flops(network: Network, n_samples: int, *, exact: bool = True, layer: int | None = None) -> float:
    """Return the floating-point operations of one product: those of its matrix products.

    There are four passes over the weights of each layer (forward and backward, each for the direction and for the
    weights) for Gauss-Newton, and six for the Hessian; the first layer passes nothing on.
    """
    passes = 12.0 if exact and layer is None else 8.0
    sizes = [part.stop - part.start for part in network.layer_slices[layer or 0 :]]
    return n_samples * (4.0 * sizes[0] + (passes if layer is None else 4.0) * sum(sizes[1:]))


def priced_flops(flops: float) -> float:
    """Return the operations at GEMM rate in the time of a product with so many operations in matrix products."""
    return max(PRODUCT_OVER_GEMM * flops, MIN_PRODUCT_FLOPS)


def fisher_product_flops(network: Network, n_samples: int, *, layer: int | None = None) -> float:
    """Return the floating-point operations of one product with the empirical Fisher matrix."""
    part = slice(0, network.n_params) if layer is None else network.layer_slices[layer]
    return 4.0 * n_samples * (part.stop - part.start)
