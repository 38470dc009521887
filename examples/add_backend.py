"""
A backend of your own
=====================

A backend is a solver under a name, with the cost that predicts it. The solver has two methods:
``rejection_reason(facts)`` says why it cannot take a system, or None; ``solve(system)`` returns a ``Solution``, which
carries a status rather than raising. The cost is a function of the facts and of the error allowed. This one
is MINRES (Paige, Saunders 1975): like conjugate gradients it needs products alone, but it also solves
indefinite systems.
"""

import math

import numpy as np
from scipy.sparse.linalg import LinearOperator, minres
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from qnewton_sk import Backend, QNewtonClassifier, Scheduler, SystemFacts
from qnewton_sk.machine.calibration import calibrate
from qnewton_sk.scheduling.backends import default_backends
from qnewton_sk.systems.cost_estimate import CostEstimate
from qnewton_sk.systems.solution import SolveStatus, finish


class MySolver(BaseEstimator):
    """MINRES on the products of the matrix, which is never assembled for it.

    Parameters
    ----------
    max_iter : int, default=None
        Products at most; by default 5 n.
    """

    def __init__(self, max_iter=None):
        self.max_iter = max_iter

    def rejection_reason(self, facts):
        known = facts.kappa is not None and math.isfinite(facts.kappa)
        return None if known else "the condition number must be known and finite"

    def solve(self, system):
        n = system.matrix.n
        A = LinearOperator((n, n), matvec=system.matrix.product, dtype=system.rhs.dtype)
        limit = self.max_iter or 5 * n
        x, ended = minres(A, system.rhs, rtol=system.tol, maxiter=limit)
        # `finish` measures the residual, and says so where x is no number
        return finish(system, x, SolveStatus.SUCCESS if ended == 0 else SolveStatus.MAX_ITERATIONS)


class MyCost(BaseEstimator):
    """Products times the time of one: kappa ln(2 / tol) of them, sqrt(kappa) / 2 ln(2 / tol) if definite."""

    def __call__(self, facts, tol):
        rates = calibrate()
        rate = math.sqrt(facts.kappa) / 2 if facts.positive_definite else facts.kappa
        products = min(rate * math.log(2 / tol), 5.0 * facts.n)
        product_seconds = rates.seconds("gemm", facts.product_flops, 64) + rates.call_seconds
        terms = {"products": products, "product_seconds": product_seconds}
        return CostEstimate(products * product_seconds, terms, "Greenbaum (1997), section 3.1")


mine = Backend("mine", MySolver(), MyCost())
scheduler = Scheduler(default_backends() + [mine])

# %%
# The scheduler tells what it would do, and why, before any fit.
for kappa in (2.0, 1e6):
    decision = scheduler.choose(SystemFacts(n=5000, kappa=kappa, positive_definite=False), tol=1e-2)
    seconds = decision.estimates["mine"].seconds
    print(f"kappa = {kappa:.0e}: {decision.chosen} is chosen; mine would take {seconds:.1e} s")

# %%
# In a fit it competes step by step, or solves alone.
X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
settings = dict(curvature="gauss_newton", alpha=0.1, random_state=0)
for offered in (scheduler, Scheduler([mine])):
    net = QNewtonClassifier((4,), scheduler=offered, **settings).fit(X, y)
    names, counts = np.unique(net.schedule_, return_counts=True)
    print(f"loss {net.loss_:.6f}, solved by", dict(zip(names.tolist(), counts.tolist())))
