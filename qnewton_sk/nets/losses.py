"""Losses of the raw outputs of a net: value, gradient and Hessian, one row per sample."""

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad
from numpy.typing import NDArray
from scipy.special import expit, gammaln, xlogy

from .loss import Loss
from .user_functions import UserFunction

Array = NDArray[Any]

HUBER_EPSILON = 1.35
"""Residual in units of y at which the Huber loss turns linear: it is 95 % efficient for normal errors (Huber 1981)."""


class SoftmaxCrossEntropy(Loss):
    """-sum_k y_k log softmax(z)_k, for one-hot y."""

    name, out_activation, has_diagonal_hessian = "log_loss", "softmax", False
    is_shift_invariant = saturates = True

    def likelihood_scale(self, n_outputs: int) -> float | None:
        """Return 1: the cross-entropy is the negative log likelihood of a class."""
        return 1.0

    def predict(self, z: Array) -> Array:
        """Return softmax(z)."""
        with np.errstate(invalid="ignore"):  # an output that has overflowed has no probabilities
            exps, total, _ = _exponentials(z)
            exps /= total
        return exps.T

    def evaluate(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the cross-entropies and softmax(z) from the same exponentials."""
        exps, total, top = _exponentials(z)
        value = np.log(total)
        value += top
        value -= np.einsum("nk,nk->n", z, y)
        exps /= total
        return value, exps.T

    def value(self, z: Array, y: Array) -> Array:
        """Return the cross-entropy of each sample."""
        return self.evaluate(z, y)[0]

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return softmax(z) - y."""
        return (self.predict(z) if p is None else p) - y

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return diag(p) - p p^T."""
        p = self.predict(z) if p is None else p
        H = -p[:, :, None] * p[:, None, :]
        np.einsum("nkk->nk", H)[...] += p
        return H

    def curvature(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the probabilities, from which the product follows without a K x K matrix."""
        return self.predict(z) if p is None else p

    def curvature_size(self, n_outputs: int) -> int:
        """Return the number of classes."""
        return n_outputs

    def curvature_product(self, curvature: Array, v: Array) -> Array:
        """Return p * v - p (p . v)."""
        pv = curvature * v
        pv -= curvature * pv.sum(axis=1, keepdims=True)
        return pv


def _exponentials(z: Array) -> tuple[Array, Array, Array]:
    """Return exp(z - max), its sum and the maximum; classes come first, since numpy is slow on sums over short rows."""
    exps = np.ascontiguousarray(z.T)
    top = exps.max(axis=0)
    exps = exps - top
    np.exp(exps, out=exps)
    return exps, exps.sum(axis=0), top


class LogisticCrossEntropy(Loss):
    """Sum over the outputs of log(1 + e^z) - y z, for y in {0, 1}: binary and multilabel problems."""

    name, out_activation, saturates = "binary_log_loss", "logistic", True

    def likelihood_scale(self, n_outputs: int) -> float | None:
        """Return 1: the losses of the labels are summed."""
        return 1.0

    def predict(self, z: Array) -> Array:
        """Return the logistic function of z."""
        return expit(z)

    def value(self, z: Array, y: Array) -> Array:
        """Return the log loss of each sample, summed over the labels."""
        # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), vectorised three times as fast as logaddexp
        loss = np.log1p(np.exp(-np.abs(z)))
        loss += np.maximum(z, 0)
        loss -= y * z
        return loss.sum(axis=1) if z.shape[1] > 1 else loss[:, 0]

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return p - y."""
        return (expit(z) if p is None else p) - y

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the diagonal p (1 - p)."""
        p = expit(z) if p is None else p
        return p * (1 - p)


class SquaredError(Loss):
    """Half the squared error, averaged over the outputs."""

    name, is_sum_of_squares = "squared_error", True

    def likelihood_scale(self, n_outputs: int) -> float | None:
        """Return the number of outputs, over which the loss is averaged."""
        return float(n_outputs)

    def log_normaliser(self, y: Array) -> Array:
        """Return -K/2 log(2 pi)."""
        return np.full(len(y), -0.5 * y.shape[1] * np.log(2 * np.pi))

    def value(self, z: Array, y: Array) -> Array:
        """Return half the mean squared difference of each sample."""
        r = z - y
        return np.einsum("nk,nk->n", r, r) / (2 * z.shape[1])

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return (z - y) / K."""
        return (z - y) / z.shape[1]

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the diagonal 1 / K."""
        return np.full_like(z, 1 / z.shape[1])


class Poisson(Loss):
    """Half the Poisson deviance y log(y / e^z) - y + e^z, averaged over the outputs; predictions are e^z."""

    name, out_activation, min_target = "poisson", "exp", 0.0

    def likelihood_scale(self, n_outputs: int) -> float | None:
        """Return the number of outputs, over which the loss is averaged."""
        return float(n_outputs)

    def log_normaliser(self, y: Array) -> Array:
        """Return the sum over the outputs of y log y - y - log y!."""
        return (xlogy(y, y) - y - gammaln(y + 1)).sum(axis=1)

    def predict(self, z: Array) -> Array:
        """Return e^z, infinity where that exceeds the largest number of the type."""
        with np.errstate(over="ignore"):
            return np.exp(z)

    def value(self, z: Array, y: Array) -> Array:
        """Return half the deviance of each sample."""
        return (xlogy(y, y) - y * z - y + np.exp(z)).mean(axis=1)

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return (e^z - y) / K."""
        return ((np.exp(z) if p is None else p) - y) / z.shape[1]

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the diagonal e^z / K."""
        return (np.exp(z) if p is None else p) / z.shape[1]


class Huber(Loss):
    """r^2 / 2 for |r| <= epsilon, else epsilon (|r| - epsilon / 2), averaged over the outputs."""

    name = "huber"

    def value(self, z: Array, y: Array) -> Array:
        """Return the Huber loss of each sample."""
        r = np.abs(z - y)
        inside = np.minimum(r, HUBER_EPSILON)
        return (inside * (r - inside / 2)).mean(axis=1)

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the clipped residual / K."""
        return np.clip(z - y, -HUBER_EPSILON, HUBER_EPSILON) / z.shape[1]

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the diagonal: 1 / K inside, 0 outside."""
        return (np.abs(z - y) <= HUBER_EPSILON).astype(z.dtype) / z.shape[1]


BUILT_IN = SoftmaxCrossEntropy, LogisticCrossEntropy, SquaredError, Poisson, Huber
"""The losses of this package."""


class CustomLoss(Loss):
    """A loss from a callable ``loss(y, z) -> (n,)`` written with autograd.numpy.

    y and z have shape (n, K); row n of the result may depend on row n of both alone. Nothing else is known about it:
    it is taken as not convex, with a full Hessian.

    Parameters
    ----------
    function : callable
        The user's function.

    Raises
    ------
    ValueError
        From all methods, naming `loss`, if the function raises an exception, or returns another shape or NaN.
    """

    is_convex, has_diagonal_hessian = False, False

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self._user = UserFunction.of("loss", function)
        self.name = self._user.name

    def value(self, z: Array, y: Array) -> Array:
        """Return the loss of each sample."""
        return self._user.call(self.function, y, z, shape=(len(z),), what="one value per sample")

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the gradient by automatic differentiation; samples do not mix, so that of the sum serves all."""
        return self._derivative(self._gradient, z, y, z.shape, "a gradient")

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return the Hessians: K derivatives of the gradient, for all samples at once."""
        return self._derivative(self._hessian, z, y, (*z.shape, z.shape[1]), "a Hessian")

    def _derivative(
        self, function: Callable[..., Any], z: Array, y: Array, shape: tuple[int, ...], what: str
    ) -> Array:
        """Return a derivative in the precision of z; it must exist where the loss is finite."""

        def where() -> Array:
            return np.isfinite(self.value(z, y)).reshape(-1, *[1] * (len(shape) - 1))

        result = self._user.call(function, z, y, shape=shape, what=what, where=where)
        return result.astype(z.dtype, copy=False)

    def _gradient(self, z: Array, y: Array) -> Array:
        return grad(lambda u: anp.sum(self.function(y, u)))(z)

    def _hessian(self, z: Array, y: Array) -> Array:
        # autograd warns if a loss is linear in z; the sine of weight zero prevents that, and cannot overflow
        gradient = grad(lambda u: anp.sum(self.function(y, u)) + 0.0 * anp.sum(anp.sin(u)))
        columns = [grad(lambda u, k=k: anp.sum(gradient(u)[:, k]))(z) for k in range(z.shape[1])]
        return np.stack(columns, axis=2)


REGRESSION_LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (SquaredError, Poisson, Huber)}
"""Losses of a regressor by the name that a user gives."""


def resolve_loss(loss: "str | Loss | Callable[..., Any]") -> Loss:
    """Return the regression `Loss` of a name, an object, or a callable ``loss(y, z)``.

    Parameters
    ----------
    loss : str, Loss or callable
        A callable must be written with autograd.numpy.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        For an unknown name or another type.

    Examples
    --------
    >>> from qnewton_sk.nets.losses import resolve_loss
    >>> resolve_loss("poisson").out_activation
    'exp'
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str) and loss in REGRESSION_LOSSES:
        return REGRESSION_LOSSES[loss]()
    if callable(loss):
        return CustomLoss(loss)
    raise ValueError(
        f"`loss` must be one of {sorted(REGRESSION_LOSSES)} or a callable loss(y, raw_prediction) written "
        f"with autograd.numpy; got {loss!r}"
    )
