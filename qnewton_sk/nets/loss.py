"""Base class of the losses: what the objective and the curvatures ask of one."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Loss:
    """A loss of the raw outputs z of shape (n, K) against targets y of shape (n, K).

    A subclass says how the loss of one sample, its gradient and its Hessian follow from z and y. What the loss *is*
    follows from the attributes below alone, never from its name, which belongs to the user.

    Attributes
    ----------
    name : str
        How a user asks for it.
    out_activation : str
        The function from raw output to prediction, as in ``MLPClassifier.out_activation_``.
    is_sum_of_squares : bool
        Whether the Hessian in z is the same multiple of the identity for all z and y, as for the squared error.
    is_convex : bool
        Whether the Hessian in z is positive semidefinite everywhere.
    has_diagonal_hessian : bool
        Whether that Hessian is diagonal; `hessian` then returns its diagonal, of shape (n, K).
    is_shift_invariant : bool
        Whether a number added to all the outputs of a sample changes nothing.
    saturates : bool
        Whether the Hessian in z vanishes far away, as where classes are certain, whatever the targets.
    min_target : float
        The smallest target for which the loss is defined.
    """

    name: str = ""
    out_activation: str = "identity"
    is_sum_of_squares: bool = False
    is_convex: bool = True
    has_diagonal_hessian: bool = True
    is_shift_invariant: bool = False
    saturates: bool = False
    min_target: float = -math.inf

    def predict(self, z: Array) -> Array:
        """Return the prediction of shape (n, K) for raw outputs z."""
        return z

    def likelihood_scale(self, n_outputs: int) -> float | None:
        """Return the factor that makes a negative log likelihood of the loss, None if it has no likelihood.

        For a sum of squares it belongs to noise of variance one.
        """
        return None

    def log_normaliser(self, y: Array) -> Array:
        """Return what the log likelihood of each sample holds besides the scaled loss, shape (n,)."""
        return np.zeros(len(y))

    def evaluate(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return `value(z, y)` and `predict(z)`, which may share work."""
        return self.value(z, y), self.predict(z)

    def value(self, z: Array, y: Array) -> Array:
        """Return the loss of each sample, shape (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define value(z, y)")

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the gradient in z, shape (n, K); p is `predict(z)` if the caller has it already."""
        raise NotImplementedError(f"{type(self).__name__} must define gradient(z, y)")

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the Hessian in z: (n, K) if `has_diagonal_hessian`, else (n, K, K)."""
        raise NotImplementedError(f"{type(self).__name__} must define hessian(z, y)")

    def full_hessian(self, z: Array, y: Array) -> Array:
        """Return the Hessian in z as (n, K, K) whatever its structure."""
        h = self.hessian(z, y)
        return h[:, :, None] * np.eye(h.shape[1], dtype=h.dtype) if self.has_diagonal_hessian else h

    def curvature(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return what `curvature_product` needs; it is computed once per point."""
        return self.hessian(z, y, p)

    def curvature_size(self, n_outputs: int) -> int:
        """Return how many numbers `curvature` holds per sample."""
        return n_outputs if self.has_diagonal_hessian else n_outputs**2

    def curvature_product(self, curvature: Array, v: Array) -> Array:
        """Return the Hessian in z times v of shape (n, K), sample by sample."""
        if self.has_diagonal_hessian:
            return curvature * v
        return np.matmul(curvature, v[:, :, None])[:, :, 0]
