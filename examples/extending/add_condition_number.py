"""
A condition number estimator of your own
========================================

An estimator is a class with one method, ``estimate(matrix) -> ConditionNumber``. The matrix is a
``SystemMatrix``: it computes products at once and entries on demand, has a known shift, and keeps the
factorisations that have been computed. This estimator only needs products: it runs two power iterations, on
A and on c I - A, and is correct for positive definite matrices.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from qnewton_sk import ConditionNumber, QNewtonClassifier, condition_number


class PowerCondition(BaseEstimator):
    """Largest and smallest eigenvalue of a positive definite matrix by power iterations.

    Parameters
    ----------
    steps : int, default=200
        Number of products for each of the two.
    """

    def __init__(self, steps=200):
        self.steps = steps

    def estimate(self, matrix):
        """Return an estimate from below, at the cost of 2 `steps` products."""
        start = np.random.default_rng(0).standard_normal(matrix.n)
        largest = self._iterate(matrix.product, start)
        smallest = largest - self._iterate(lambda v: largest * v - matrix.product(v), start)
        kappa = largest / smallest if smallest > 0 else math.inf
        flops = 2 * self.steps * matrix.product_flops
        return ConditionNumber(kappa, "estimate", "power", flops, norm=largest)

    def _iterate(self, product, v):
        for _ in range(self.steps):
            w = product(v / np.linalg.norm(v))
            v, size = w, np.linalg.norm(w)
        return float(size)


H = np.diag([1.0, 3.0, 10.0])
kappa = condition_number(H, method=PowerCondition())
print(f"{kappa:.3f}, an {kappa.kind} for {kappa.flops:.0f} flops; exact: {condition_number(H, 'exact'):.3f}")

# %%
# Inside a fit it measures the system of every step.
X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
net = QNewtonClassifier(
    (5,), curvature="gauss_newton", condition_number=PowerCondition(), random_state=0, tol=1e-5
).fit(X, y)
print(f"condition numbers from {min(net.history_['condition_number']):.3g} to ", end="")
print(f"{max(net.history_['condition_number']):.3g} over {net.n_steps_} steps")

# %%
# On the last matrix, it is compared with the estimators of the package.
H = net.hessian(X, y, curvature="gauss_newton") + 0.01 * np.eye(
    sum(c.size for c in net.coefs_ + net.intercepts_)
)
measured = [
    condition_number(H, method)
    for method in ("exact", "lanczos", "one_norm", "determinant", PowerCondition())
]
for kappa in measured:
    print(f"{kappa.method:>12}: {float(kappa):10.4g}  {kappa.kind}")
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.barh([kappa.method for kappa in measured], [float(kappa) for kappa in measured])
ax.axvline(float(measured[0]), color="k", lw=0.8)
ax.set(xlabel="condition number, as estimated", title="One matrix, five methods")
plt.show()
