"""The curvature of an objective as lazy blocks: exact Hessian, Gauss-Newton, empirical Fisher."""

from functools import partial

import numpy as np

from qnewton_sk.machine import NUMBER_FLOPS
from qnewton_sk.systems import Block, SystemMatrix

from .assembly import assemble, assembly_flops
from .base import Curvature, WrappedCurvature
from .geodesic import acceleration
from .low_rank import gradient_gram, gradient_rows, gram_flops, jacobian_gram, jacobian_rows
from .products import CurvatureProduct, FisherProduct, fisher_product_flops, product_flops


class _NetCurvature(Curvature):
    """A curvature of a net, whole or layer by layer."""

    def __init__(self, partition="full"):
        self.partition = partition

    def blocks(self, objective, theta):
        """Return one `Block` for all parameters, or one a layer.

        Parameters
        ----------
        objective : Objective
            The data and the net.
        theta : ndarray of shape (n_params,)
            Where; it is copied.

        Returns
        -------
        list of Block
            Their matrices are lazy: neither products nor entries are computed here.
        """
        theta = theta.copy()
        if self.partition == "full":
            whole = slice(0, objective.n_params)
            return [Block(whole, self._matrix(objective, theta, None), self._acceleration(objective, theta))]
        if self.partition == "layer":
            parts = objective.network.layer_slices
            return [Block(part, self._matrix(objective, theta, l)) for l, part in enumerate(parts)]
        raise ValueError(f'`partition` must be "full" or "layer"; got {self.partition!r}')

    def _acceleration(self, objective, theta):
        return None

    def _single(self, objective, theta, layer):
        """What makes the same matrix in single precision, None where it is so already."""
        if objective.dtype == np.float32:
            return None
        return lambda: self._matrix(objective.single(), theta.astype(np.float32), layer)


class Hessian(_NetCurvature):
    """The exact Hessian of the objective.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one a layer.
    """

    def _matrix(self, objective, theta, layer):
        return _second_order(
            objective, theta, layer, exact=True, single=self._single(objective, theta, layer)
        )


class GaussNewton(_NetCurvature):
    """J^T H_loss J, positive semidefinite where the loss is convex in the raw outputs.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one a layer.
    """

    def _acceleration(self, objective, theta):
        if objective.network.loss.is_sum_of_squares and objective.network.n_layers > 1:
            return partial(acceleration, objective, theta)
        return None

    def _matrix(self, objective, theta, layer):
        network, n = objective.network, objective.n_samples
        single = self._single(objective, theta, layer)
        if not network.loss.convex:
            return _second_order(objective, theta, layer, exact=False, single=single)
        rank = n * network.widths[-1]
        by_blocks = assembly_flops(network, n, exact=False, layer=layer)
        by_factor = gram_flops(network, rank, layer=layer)
        changes = {}
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
        One block for all parameters, or one a layer.
    """

    def _matrix(self, objective, theta, layer):
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
            product_flops=fisher_product_flops(objective.network, m, layer=layer),
            factor_flops=NUMBER_FLOPS * m * n,
            single=self._single(objective, theta, layer),
            dtype=objective.dtype,
        )


def _second_order(objective, theta, layer, exact, **changes):
    network, m, diagonal = objective.network, objective.n_samples, _penalty(objective, layer)
    settings = {
        "assemble": lambda: assemble(objective, theta, exact=exact, layer=layer),
        "product": CurvatureProduct(objective, theta, exact=exact, layer=layer),
        "factor_diagonal": diagonal,
        "semidefinite": not exact and network.loss.convex,
        "assembly_flops": assembly_flops(network, m, exact=exact, layer=layer),
        "product_flops": product_flops(network, m, exact=exact, layer=layer),
        "dtype": objective.dtype,
    }
    return SystemMatrix(len(diagonal), **{**settings, **changes})


def _penalty(objective, layer):
    part = slice(None) if layer is None else objective.network.layer_slices[layer]
    return objective.penalties[part]


def _plus_diagonal(H, diagonal):
    H.reshape(-1)[:: H.shape[0] + 1] += diagonal
    return H


CURVATURES = {"hessian": Hessian, "gauss_newton": GaussNewton, "empirical_fisher": EmpiricalFisher}
"""Curvatures by the name that a user gives."""


def resolve_curvature(curvature, partition="full"):
    """Return the part for a name, or the object itself where it has a method `blocks`.

    Raises
    ------
    ValueError
        For an unknown name or another type.

    Examples
    --------
    >>> from qnewton_sk.curvature.matrices import resolve_curvature
    >>> resolve_curvature("gauss_newton", "layer")
    GaussNewton(partition='layer')
    """
    if isinstance(curvature, str) and curvature in CURVATURES:
        if partition not in ("full", "layer"):
            raise ValueError(f'`partition` must be "full" or "layer"; got {partition!r}')
        return CURVATURES[curvature](partition)
    if isinstance(curvature, Curvature):
        return curvature
    if callable(getattr(curvature, "blocks", None)) and not isinstance(curvature, type):
        return WrappedCurvature(curvature)
    raise ValueError(
        f"`curvature` must be one of {['auto', *CURVATURES]} or an object with a method "
        f"blocks(objective, theta); got {curvature!r}"
    )
