"""Slow, independent truths: the objective written anew with autograd.numpy, and its derivatives."""

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.scipy.special import erf
from scipy import sparse

ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + anp.exp(-z)),
    "tanh": anp.tanh,
    "relu": lambda z: anp.where(z > 0, z, 0.0),
    "softplus": lambda z: anp.log(1 + anp.exp(z)),
    "silu": lambda z: z / (1 + anp.exp(-z)),
    "gelu": lambda z: z * 0.5 * (1 + erf(z / anp.sqrt(2.0))),
}


def _huber(z, y):
    r = anp.abs(z - y)
    return anp.where(r <= 1.35, 0.5 * r**2, 1.35 * (r - 0.675))


def _poisson(z, y):
    safe = np.where(y > 0, y, 1.0)
    return y * np.log(safe) - y * z - y + anp.exp(z)


LOSSES = {
    "log_loss": lambda z, y: anp.log(anp.sum(anp.exp(z), axis=1)) - anp.sum(y * z, axis=1),
    "binary_log_loss": lambda z, y: anp.sum(anp.log(1 + anp.exp(z)) - y * z, axis=1),
    "squared_error": lambda z, y: anp.mean(0.5 * (z - y) ** 2, axis=1),
    "poisson": lambda z, y: anp.mean(_poisson(z, y), axis=1),
    "huber": lambda z, y: anp.mean(_huber(z, y), axis=1),
}


class Truth:
    """The objective of a `Case` in float64, its gradient and its curvatures by automatic differentiation."""

    def __init__(self, case):
        data = case.data()
        self.case = case
        self.X = np.asarray(data.X.toarray() if sparse.issparse(data.X) else data.X, dtype=np.float64)
        self.y = np.asarray(data.y, dtype=np.float64)
        s = np.ones(len(self.X)) if data.sample_weight is None else np.asarray(data.sample_weight, np.float64)
        self.weights, self.total = s / s.sum(), s.sum()

    def raw(self, theta):
        """The raw outputs (n, K)."""
        a, start, widths = self.X, 0, self.case.widths
        for layer, (i, o) in enumerate(zip(widths, widths[1:])):
            W = theta[start : start + i * o].reshape((i, o))
            b = theta[start + i * o : start + (i + 1) * o]
            start += (i + 1) * o
            a = anp.dot(a, W) + b
            if layer < len(widths) - 2:
                f = self.case.activations[layer]
                a = ACTIVATIONS.get(f, f)(a)
        return a

    def losses(self, z):
        """The loss of every sample (n,)."""
        loss = self.case.loss
        return LOSSES[loss](z, self.y) if isinstance(loss, str) else loss(self.y, z)

    def penalty(self, theta):
        """alpha / (2 sum s) times the squared weights, intercepts left out."""
        return 0.5 * self.case.alpha / self.total * anp.sum(theta**2 * self.is_weight())

    def is_weight(self):
        """1.0 for weights, 0.0 for intercepts."""
        widths = self.case.widths
        return np.concatenate([[1.0] * (i * o) + [0.0] * o for i, o in zip(widths, widths[1:])])

    def value(self, theta):
        """J(theta)."""
        return anp.sum(self.weights * self.losses(self.raw(theta))) + self.penalty(theta)

    def gradient(self, theta):
        """The gradient of J (N,)."""
        return autograd.grad(self.value)(theta)

    def hessian(self, theta):
        """The Hessian of J (N, N)."""
        return autograd.hessian(self.value)(theta)

    def gauss_newton(self, theta):
        """sum_n w_n J_n^T L_n J_n with J_n = dz_n/dtheta, L_n the loss's Hessian in z_n; penalty added."""
        J = autograd.jacobian(self.raw)(theta)
        L = autograd.hessian(lambda z: anp.sum(self.losses(z)))(self.raw(theta))
        G = np.einsum("n,nka,nknl,nlb->ab", self.weights, J, L, J, optimize=True)
        return G + self._penalty_matrix()

    def empirical_fisher(self, theta):
        """sum_n w_n g_n g_n^T with the samples' gradients g_n; penalty added."""
        g = autograd.jacobian(lambda t: self.losses(self.raw(t)))(theta)
        return (self.weights[:, None] * g).T @ g + self._penalty_matrix()

    def _penalty_matrix(self):
        return np.diag(self.case.alpha / self.total * self.is_weight())
