"""The curvature of an objective as lazy blocks: exact Hessian, Gauss-Newton, empirical Fisher."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.machine import NUMBER_FLOPS
from qnewton_sk.nets import BaseObjective
from qnewton_sk.systems import Block, SystemMatrix

from .assembly import assemble, assembly_flops
from .base import Curvature, WrappedCurvature, check_partition
from .directional import acceleration
from .low_rank import gradient_gram, gradient_rows, gram_flops, jacobian_gram, jacobian_rows
from .products import CurvatureProduct, FisherProduct, fisher_product_flops, priced_flops, product_flops

Array = NDArray[Any]


class _NetCurvature(Curvature):
    """A curvature of a net, for all parameters at once or layer by layer."""

    def __init__(self, partition: str = "full"):
        self.partition = partition

    def check(self) -> None:
        """Raise ValueError if `partition` is neither "full" nor "layer"."""
        check_partition(self.partition)

    def blocks(self, objective: BaseObjective, theta: Array) -> list[Block]:
        """Return one `Block` for all parameters, or one per layer.

        Parameters
        ----------
        objective : BaseObjective
            The data and the net.
        theta : ndarray of shape (n_params,)
            The parameters; they are copied.

        Returns
        -------
        list of Block
            Their matrices are lazy: neither products nor entries are computed here.

        Raises
        ------
        ValueError
            If `partition` is neither "full" nor "layer".
        """
        self.check()
        theta = theta.copy()
        if self.partition == "full":
            whole = slice(0, objective.n_params)
            return [Block(whole, self._matrix(objective, theta, None), self._acceleration(objective, theta))]
        parts = objective.network.layer_slices
        return [Block(part, self._matrix(objective, theta, l)) for l, part in enumerate(parts)]

    def _matrix(self, objective: BaseObjective, theta: Array, layer: int | None) -> SystemMatrix:
        raise NotImplementedError

    def _acceleration(self, objective: BaseObjective, theta: Array) -> Callable[[Array], Array] | None:
        """Return what makes the right-hand side of a second-order correction, if there is one."""
        return None

    def _single(
        self, objective: BaseObjective, theta: Array, layer: int | None
    ) -> Callable[[], SystemMatrix] | None:
        """Return what makes the same matrix in single precision, None if it is in single precision already."""
        if objective.dtype == np.float32:
            return None

        def make() -> SystemMatrix:
            with np.errstate(
                over="ignore"
            ):  # what exceeds single precision is infinite, and the solver refuses it
                return self._matrix(objective.single(), theta.astype(np.float32), layer)

        return make


class Hessian(_NetCurvature):
    """The exact Hessian of the objective.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one per layer.
    """

    def _matrix(self, objective: BaseObjective, theta: Array, layer: int | None) -> SystemMatrix:
        return _second_order(
            objective, theta, layer, exact=True, single=self._single(objective, theta, layer)
        )


class GaussNewton(_NetCurvature):
    """J^T H_loss J, positive semidefinite if the loss is convex in the raw outputs.

    For a sum of squares, its steps may be corrected for the acceleration of the outputs along them (see
    `qnewton_sk.curvature.directional`); the loop decides.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one per layer.
    """

    def _acceleration(self, objective: BaseObjective, theta: Array) -> Callable[[Array], Array] | None:
        if objective.network.loss.is_sum_of_squares and objective.network.n_layers > 1:
            return partial(acceleration, objective, theta)
        return None

    def _matrix(self, objective: BaseObjective, theta: Array, layer: int | None) -> SystemMatrix:
        network, n = objective.network, objective.n_samples
        single = self._single(objective, theta, layer)
        if not network.loss.is_convex:
            return _second_order(objective, theta, layer, exact=False, single=single)
        rank = n * network.widths[-1]
        by_blocks = assembly_flops(network, n, exact=False, layer=layer)
        by_factor = gram_flops(network, rank, layer=layer)
        changes: dict[str, Any] = {}
        if by_factor < by_blocks:
            changes = {
                "assemble": lambda: _plus_diagonal(
                    jacobian_gram(objective, theta, layer), _penalty(objective, layer)
                ),
                "assembly_flops": by_factor,
            }
        return _second_order(
            objective,
            theta,
            layer,
            exact=False,
            single=single,
            factor=lambda: jacobian_rows(objective, theta, layer),
            rank=rank,
            factor_flops=NUMBER_FLOPS * rank * objective.n_params,
            **changes,
        )


class EmpiricalFisher(_NetCurvature):
    """sum_n w_n g_n g_n^T over the gradients g_n of the samples' losses, penalty on the diagonal.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one per layer.
    """

    def _matrix(self, objective: BaseObjective, theta: Array, layer: int | None) -> SystemMatrix:
        m, diagonal = objective.n_samples, _penalty(objective, layer)
        n = len(diagonal)
        return SystemMatrix(
            n,
            assemble=lambda: _plus_diagonal(gradient_gram(objective, theta, layer), diagonal),
            product=FisherProduct(objective, theta, layer=layer),
            factor=lambda: gradient_rows(objective, theta, layer),
            rank=m,
            factor_diagonal=diagonal,
            semidefinite=True,
            assembly_flops=gram_flops(objective.network, m, layer=layer),
            product_flops=priced_flops(fisher_product_flops(objective.network, m, layer=layer)),
            factor_flops=NUMBER_FLOPS * m * n,
            single=self._single(objective, theta, layer),
            dtype=objective.dtype,
        )


def _second_order(
    objective: BaseObjective, theta: Array, layer: int | None, exact: bool, **changes: Any
) -> SystemMatrix:
    network, m, diagonal = objective.network, objective.n_samples, _penalty(objective, layer)
    settings: dict[str, Any] = {
        "assemble": lambda: assemble(objective, theta, exact=exact, layer=layer),
        "product": CurvatureProduct(objective, theta, exact=exact, layer=layer),
        "factor_diagonal": diagonal,
        "semidefinite": not exact and network.loss.is_convex,
        "assembly_flops": assembly_flops(network, m, exact=exact, layer=layer),
        "product_flops": priced_flops(product_flops(network, m, exact=exact, layer=layer)),
        "dtype": objective.dtype,
    }
    return SystemMatrix(len(diagonal), **{**settings, **changes})


def _penalty(objective: BaseObjective, layer: int | None) -> Array:
    part = slice(None) if layer is None else objective.network.layer_slices[layer]
    return objective.penalties[part]


def _plus_diagonal(H: Array, diagonal: Array) -> Array:
    H.reshape(-1)[:: H.shape[0] + 1] += diagonal
    return H


CURVATURES: dict[str, type[_NetCurvature]] = {
    "hessian": Hessian,
    "gauss_newton": GaussNewton,
    "empirical_fisher": EmpiricalFisher,
}
"""Curvatures by the name that a user gives."""


def resolve_curvature(curvature: Any, partition: str = "full") -> Curvature:
    """Return the curvature of a name, the object itself if it is a `Curvature`, or else a wrapper of its `blocks`.

    Parameters
    ----------
    curvature : str or object
        A name, or an object with a method ``blocks(objective, theta) -> [Block]``.
    partition : {"full", "layer"}, default="full"
        For a name: one block for all parameters, or one per layer.

    Returns
    -------
    Curvature

    Raises
    ------
    ValueError
        For an unknown name, another type, or a setting of the object that is out of range.

    Examples
    --------
    >>> from qnewton_sk.curvature.matrices import resolve_curvature
    >>> resolve_curvature("gauss_newton", "layer")
    GaussNewton(partition='layer')
    """
    if isinstance(curvature, str) and curvature in CURVATURES:
        check_partition(partition)
        return CURVATURES[curvature](partition)
    if isinstance(curvature, Curvature):
        curvature.check()
        return curvature
    if callable(getattr(curvature, "blocks", None)) and not isinstance(curvature, type):
        return WrappedCurvature(curvature)
    raise ValueError(
        f"`curvature` must be one of {['auto', *CURVATURES]} or an object with a method "
        f"blocks(objective, theta); got {curvature!r}"
    )
