"""The curvature of an objective as lazy blocks: exact Hessian, Gauss-Newton, empirical Fisher."""

import numpy as np
from sklearn.base import BaseEstimator

from .assembly import assemble, assembly_flops
from .products import CurvatureProduct, product_flops
from .system import Block, SystemMatrix


class _Curvature(BaseEstimator):
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
            return [Block(slice(0, objective.n_params), self._matrix(objective, theta, None))]
        if self.partition == "layer":
            parts = objective.network.parts
            return [Block(part, self._matrix(objective, theta, l)) for l, part in enumerate(parts)]
        raise ValueError(f'`partition` must be "full" or "layer"; got {self.partition!r}')


class Hessian(_Curvature):
    """The exact Hessian of the objective.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one a layer.
    """

    def _matrix(self, objective, theta, layer):
        return _second_order(objective, theta, layer, exact=True)


class GaussNewton(_Curvature):
    """J^T H_loss J, positive semidefinite where the loss is convex in the raw outputs.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one a layer.
    """

    def _matrix(self, objective, theta, layer):
        return _second_order(objective, theta, layer, exact=False)


class EmpiricalFisher(_Curvature):
    """sum_n w_n g_n g_n^T over the gradients g_n of the samples' losses, penalty on the diagonal.

    Parameters
    ----------
    partition : {"full", "layer"}, default="full"
        One block for all parameters, or one a layer.
    """

    def _matrix(self, objective, theta, layer):
        penalty = _penalty(objective, layer)
        n = len(penalty)

        def factor():
            return np.concatenate([_gradient_rows(p, layer) for p in objective.passes(theta)])

        def entries():
            G = factor()
            H = G.T @ G
            H.reshape(-1)[:: n + 1] += penalty
            return H

        return SystemMatrix(
            n,
            assemble=entries,
            factor=factor,
            rank=objective.n_samples,
            factor_diagonal=penalty,
            semidefinite=True,
            assembly_flops=float(n) ** 2 * objective.n_samples,
            factor_flops=float(n) * objective.n_samples,
            dtype=objective.dtype,
        )


def _second_order(objective, theta, layer, exact):
    network, m = objective.network, objective.n_samples
    n = len(_penalty(objective, layer))
    return SystemMatrix(
        n,
        assemble=lambda: assemble(objective, theta, exact=exact, layer=layer),
        product=CurvatureProduct(objective, theta, exact=exact, layer=layer),
        semidefinite=not exact and network.loss.convex,
        assembly_flops=assembly_flops(network, m, exact=exact, layer=layer),
        product_flops=product_flops(network, m, exact=exact),
        dtype=objective.dtype,
    )


def _penalty(objective, layer):
    part = slice(None) if layer is None else objective.network.parts[layer]
    return (objective.penalty * objective.network.penalised[part]).astype(objective.dtype)


def _gradient_rows(p, layer):
    """Return sqrt(w_n) g_n, one row a sample, of one layer or of all."""
    layers = range(len(p.inputs)) if layer is None else [layer]
    w = np.broadcast_to(np.asarray(p.weight, p.z[-1].dtype), (p.n_samples,))
    scale = np.divide(1, np.sqrt(w), out=np.zeros_like(w), where=w > 0)[:, None, None]
    rows = []
    for l in layers:
        abar = p.inputs[l] if isinstance(p.inputs[l], np.ndarray) else p.inputs[l].toarray()
        rows.append((abar[:, :, None] * (scale * p.deltas[l][:, None, :])).reshape(p.n_samples, -1))
    return np.concatenate(rows, axis=1)


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
    >>> from qnewton_sk.curvature import resolve_curvature
    >>> resolve_curvature("gauss_newton", "layer")
    GaussNewton(partition='layer')
    """
    if isinstance(curvature, str) and curvature in CURVATURES:
        if partition not in ("full", "layer"):
            raise ValueError(f'`partition` must be "full" or "layer"; got {partition!r}')
        return CURVATURES[curvature](partition)
    if callable(getattr(curvature, "blocks", None)) and not isinstance(curvature, type):
        return curvature
    raise ValueError(
        f"`curvature` must be one of {sorted(CURVATURES)} or an object with a method "
        f"blocks(objective, theta); got {curvature!r}"
    )
