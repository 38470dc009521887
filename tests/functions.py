"""Small functions with derivatives by hand, for whatever minimises."""

import numpy as np

from qnewton_sk.curvature.base import Curvature
from qnewton_sk.systems.linear_system import Block
from qnewton_sk.systems.system_matrix import SystemMatrix


class Function:
    """What the loop asks of an objective, with calls counted."""

    n_samples = 1

    def __init__(self, value, gradient, hessian, n):
        self._value, self._gradient, self._hessian, self.n_params = value, gradient, hessian, n
        self.values = self.gradients = 0

    def value(self, theta):
        self.values += 1
        return float(self._value(theta))

    def value_and_grad(self, theta):
        self.gradients += 1
        return float(self._value(theta)), self._gradient(theta)

    def hessian(self, theta):
        return self._hessian(theta)

    def batch(self, indices):
        return self


def quadratic(A, b):
    """x.Ax / 2 - b.x."""
    return Function(lambda x: 0.5 * x @ A @ x - b @ x, lambda x: A @ x - b, lambda x: A, len(b))


def rosenbrock(n=2):
    """Sum of 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2; the minimum is at ones."""

    def value(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    def gradient(x):
        g, r = np.zeros_like(x), x[1:] - x[:-1] ** 2
        g[:-1] = -400 * x[:-1] * r - 2 * (1 - x[:-1])
        g[1:] += 200 * r
        return g

    def hessian(x):
        H = np.zeros((n, n))
        i = np.arange(n - 1)
        H[i, i] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
        H[i + 1, i + 1] += 200
        H[i, i + 1] = H[i + 1, i] = -400 * x[:-1]
        return H

    return Function(value, gradient, hessian, n)


def waves(seed, n=4, terms=5):
    """|x|^2 / 20 and cosines in random directions: smooth, bounded below, many saddles."""
    rng = np.random.default_rng(seed)
    W, phase, height = rng.standard_normal((terms, n)), rng.uniform(0, 6, terms), rng.uniform(0.2, 2, terms)
    return Function(
        lambda x: height @ np.cos(W @ x + phase) + x @ x / 20,
        lambda x: x / 10 - W.T @ (height * np.sin(W @ x + phase)),
        lambda x: np.eye(n) / 10 - (W.T * (height * np.cos(W @ x + phase))) @ W,
        n,
    )


class Squares:
    """Mean of half the squared residuals of a linear model, in batches; the minimum is that of lstsq."""

    def __init__(self, X, y, seen=None):
        self.X, self.y, self.n_samples, self.n_params = X, y, len(X), X.shape[1]
        self.seen = [] if seen is None else seen

    def value(self, theta):
        return float(0.5 * np.mean((self.X @ theta - self.y) ** 2))

    def value_and_grad(self, theta):
        return self.value(theta), self.X.T @ (self.X @ theta - self.y) / self.n_samples

    def hessian(self, theta):
        return self.X.T @ self.X / self.n_samples

    def batch(self, indices):
        self.seen.append(np.sort(indices))
        return Squares(self.X[indices], self.y[indices], self.seen)


class Entries(Curvature):
    """The Hessian of a function of this module as lazy blocks; the assemblies are noted as (part, theta).

    `parts` are the slices of the blocks, by default one for all.
    """

    def __init__(self, parts=None, semidefinite=False):
        self.parts, self.semidefinite = parts, semidefinite
        self.assemblies = []

    def blocks(self, objective, theta):
        parts = self.parts or [slice(0, theta.size)]
        return [Block(part, self._matrix(objective, theta.copy(), part)) for part in parts]

    def _matrix(self, objective, theta, part):
        def assemble():
            self.assemblies.append((part.start, theta.tobytes()))
            return objective.hessian(theta)[part, part].copy()

        n = part.stop - part.start
        return SystemMatrix(
            n, assemble=assemble, assembly_flops=float(n) ** 3, semidefinite=self.semidefinite
        )
