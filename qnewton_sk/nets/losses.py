"""Losses of the raw outputs of a net: value, gradient, Hessian, one row a sample."""

import autograd.numpy as anp
import numpy as np
from autograd import grad
from scipy.special import expit, gammaln, xlogy

HUBER_EPSILON = 1.35
"""Residual at which the Huber loss turns linear: 95 % efficiency at the normal (Huber 1981), in units of y."""


class Loss:
    """A loss of the raw outputs z of shape (n, K) against targets y of shape (n, K).

    Subclasses say how the loss of one sample, its gradient and its Hessian follow from z and y.

    Attributes
    ----------
    name : str
        How a user asks for it.
    out_activation : str
        The function from raw output to prediction, as in ``MLPClassifier.out_activation_``.
    convex : bool
        Whether the Hessian in z is positive semidefinite everywhere.
    is_sum_of_squares : bool
        Whether the loss is half a squared error, so that Gauss-Newton is exact where it vanishes.
    diagonal : bool
        Whether that Hessian is diagonal; `hessian` then returns its diagonal, shape (n, K).
    is_shift_invariant : bool
        Whether a number added to all the outputs of a sample changes nothing.
    """

    name = ""
    out_activation = "identity"
    convex = True
    is_sum_of_squares = False
    diagonal = True
    is_shift_invariant = False

    def predict(self, z):
        """Return the prediction of shape (n, K) for raw outputs z."""
        return z

    def likelihood_scale(self, n_outputs):
        """Return the factor that makes a negative log likelihood of the loss, None if it has no likelihood.

        For a sum of squares it belongs to noise of variance one.
        """
        return None

    def log_normaliser(self, y):
        """Return what the log likelihood of each sample holds besides the scaled loss, shape (n,)."""
        return np.zeros(len(y))

    def evaluate(self, z, y):
        """Return `value(z, y)` and `predict(z)`, which may share work."""
        return self.value(z, y), self.predict(z)

    def value(self, z, y):
        """Return the loss of each sample, shape (n,)."""
        raise NotImplementedError

    def gradient(self, z, y, p=None):
        """Return the gradient in z, shape (n, K); p is `predict(z)` where the caller has it."""
        raise NotImplementedError

    def hessian(self, z, y, p=None):
        """Return the Hessian in z: (n, K) where `diagonal`, else (n, K, K)."""
        raise NotImplementedError

    def full_hessian(self, z, y):
        """Return the Hessian in z as (n, K, K) whatever its structure."""
        h = self.hessian(z, y)
        return h[:, :, None] * np.eye(h.shape[1], dtype=h.dtype) if self.diagonal else h

    def curvature(self, z, y, p=None):
        """Return what `curvature_product` needs; computed once a point."""
        return self.hessian(z, y, p)

    def curvature_product(self, curvature, v):
        """Return the Hessian in z times v of shape (n, K), sample by sample."""
        if self.diagonal:
            return curvature * v
        return np.matmul(curvature, v[:, :, None])[:, :, 0]


class SoftmaxCrossEntropy(Loss):
    """-sum_k y_k log softmax(z)_k, for one-hot y."""

    name, out_activation, diagonal = "log_loss", "softmax", False
    is_shift_invariant = True

    def likelihood_scale(self, n_outputs):
        """Return 1: the cross-entropy is the negative log likelihood of a class."""
        return 1.0

    def predict(self, z):
        """Return softmax(z)."""
        exps, total, _ = _exponentials(z)
        exps /= total
        return exps.T

    def evaluate(self, z, y):
        """Return the cross-entropies and softmax(z) from the same exponentials."""
        exps, total, top = _exponentials(z)
        value = np.log(total)
        value += top
        value -= np.einsum("nk,nk->n", z, y)
        exps /= total
        return value, exps.T

    def value(self, z, y):
        """Return the cross-entropy of each sample."""
        return self.evaluate(z, y)[0]

    def gradient(self, z, y, p=None):
        """Return softmax(z) - y."""
        return (self.predict(z) if p is None else p) - y

    def hessian(self, z, y, p=None):
        """Return diag(p) - p p^T."""
        p = self.predict(z) if p is None else p
        H = -p[:, :, None] * p[:, None, :]
        np.einsum("nkk->nk", H)[...] += p
        return H

    def curvature(self, z, y, p=None):
        """Return the probabilities, from which the product follows without a K x K matrix."""
        return self.predict(z) if p is None else p

    def curvature_product(self, curvature, v):
        """Return p * v - p (p . v)."""
        pv = curvature * v
        pv -= curvature * pv.sum(axis=1, keepdims=True)
        return pv


def _exponentials(z):
    """Return exp(z - max), its sum and the max; classes first, since a sum over rows of ten is slow in numpy."""
    exps = np.ascontiguousarray(z.T)
    top = exps.max(axis=0)
    exps = exps - top
    np.exp(exps, out=exps)
    return exps, exps.sum(axis=0), top


class LogisticCrossEntropy(Loss):
    """Sum over the outputs of log(1 + e^z) - y z, for y in {0, 1}: binary and multilabel problems."""

    name, out_activation = "binary_log_loss", "logistic"

    def likelihood_scale(self, n_outputs):
        """Return 1: the losses of the labels are summed."""
        return 1.0

    def predict(self, z):
        """Return the logistic function of z."""
        return expit(z)

    def value(self, z, y):
        """Return the log loss of each sample, summed over the labels."""
        # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), vectorised three times as fast as logaddexp
        loss = np.log1p(np.exp(-np.abs(z)))
        loss += np.maximum(z, 0)
        loss -= y * z
        return loss.sum(axis=1) if z.shape[1] > 1 else loss[:, 0]

    def gradient(self, z, y, p=None):
        """Return p - y."""
        return (expit(z) if p is None else p) - y

    def hessian(self, z, y, p=None):
        """Return the diagonal p (1 - p)."""
        p = expit(z) if p is None else p
        return p * (1 - p)


class SquaredError(Loss):
    """Half the squared error, averaged over the outputs."""

    name = "squared_error"
    is_sum_of_squares = True

    def likelihood_scale(self, n_outputs):
        """Return the number of outputs, over which the loss is averaged."""
        return float(n_outputs)

    def log_normaliser(self, y):
        """Return -K/2 log(2 pi)."""
        return np.full(len(y), -0.5 * y.shape[1] * np.log(2 * np.pi))

    def value(self, z, y):
        """Return half the mean squared difference of each sample."""
        r = z - y
        return np.einsum("nk,nk->n", r, r) / (2 * z.shape[1])

    def gradient(self, z, y, p=None):
        """Return (z - y) / K."""
        return (z - y) / z.shape[1]

    def hessian(self, z, y, p=None):
        """Return the diagonal 1 / K."""
        return np.full_like(z, 1 / z.shape[1])


class Poisson(Loss):
    """Half the Poisson deviance y log(y / e^z) - y + e^z, averaged over the outputs; predictions are e^z."""

    name, out_activation = "poisson", "exp"

    def likelihood_scale(self, n_outputs):
        """Return the number of outputs, over which the loss is averaged."""
        return float(n_outputs)

    def log_normaliser(self, y):
        """Return the sum over the outputs of y log y - y - log y!."""
        return (xlogy(y, y) - y - gammaln(y + 1)).sum(axis=1)

    def predict(self, z):
        """Return e^z."""
        return np.exp(z)

    def value(self, z, y):
        """Return half the deviance of each sample."""
        return (xlogy(y, y) - y * z - y + np.exp(z)).mean(axis=1)

    def gradient(self, z, y, p=None):
        """Return (e^z - y) / K."""
        return ((np.exp(z) if p is None else p) - y) / z.shape[1]

    def hessian(self, z, y, p=None):
        """Return the diagonal e^z / K."""
        return (np.exp(z) if p is None else p) / z.shape[1]


class Huber(Loss):
    """r^2 / 2 for |r| <= epsilon, else epsilon (|r| - epsilon / 2), averaged over the outputs."""

    name = "huber"

    def value(self, z, y):
        """Return the Huber loss of each sample."""
        r = np.abs(z - y)
        inside = np.minimum(r, HUBER_EPSILON)
        return (inside * (r - inside / 2)).mean(axis=1)

    def gradient(self, z, y, p=None):
        """Return the clipped residual / K."""
        return np.clip(z - y, -HUBER_EPSILON, HUBER_EPSILON) / z.shape[1]

    def hessian(self, z, y, p=None):
        """Return the diagonal: 1 / K inside, 0 outside."""
        return (np.abs(z - y) <= HUBER_EPSILON).astype(z.dtype) / z.shape[1]


class CustomLoss(Loss):
    """A loss from a callable ``loss(y, z) -> (n,)`` written with autograd.numpy.

    y and z have shape (n, K); row n of the result may depend on row n of both alone.
    """

    convex, diagonal = False, False

    def __init__(self, function):
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def value(self, z, y):
        """Return the loss of each sample."""
        return self.function(y, z)

    def gradient(self, z, y, p=None):
        """Return the gradient by automatic differentiation: samples do not mix, so that a sum will do."""
        return grad(lambda u: anp.sum(self.function(y, u)))(z)

    def hessian(self, z, y, p=None):
        """Return the Hessians: K derivatives of the gradient, all samples at once."""
        # the cubic of weight zero keeps autograd from warning where the loss is linear in z
        gradient = grad(lambda u: anp.sum(self.function(y, u)) + 0.0 * anp.sum(u**3))
        columns = [grad(lambda u, k=k: anp.sum(gradient(u)[:, k]))(z) for k in range(z.shape[1])]
        return np.stack(columns, axis=2)


REGRESSION_LOSSES = {loss.name: loss for loss in (SquaredError, Poisson, Huber)}


def resolve_loss(loss):
    """Return the regression `Loss` of a name, an object, or a callable ``loss(y, z)``.

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
