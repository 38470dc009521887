"""
A backend of your own
=====================

A backend is a solver under a name, with the model of its cost. The solver subclasses ``Solver``: ``solve(system)``
returns a ``Solution``, which carries a status rather than raising, and ``rejection_reason(facts)`` says why the
solver cannot solve a system, or None. The cost subclasses ``CostModel``, or is a function of the facts and of the
allowed error. This one is MINRES (Paige, Saunders 1975): like conjugate gradients it only needs matvecs, but it also
solves indefinite systems.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse.linalg import LinearOperator, minres
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from qnewton_sk import (
    REFERENCE_RATES,
    Backend,
    CostEstimate,
    CostModel,
    QNewtonClassifier,
    Scheduler,
    Solver,
    SolveStatus,
    SystemFacts,
    default_backends,
    solution_of,
)


class MySolver(Solver):
    """MINRES on products with the matrix, without its entries.

    Parameters
    ----------
    max_iter : int, default=None
        Maximum number of iterations; by default 5 n.
    """

    needs = "products"  # so that it may also solve systems whose matrix does not fit into memory

    def __init__(self, max_iter=None):
        self.max_iter = max_iter

    def rejection_reason(self, facts):
        known = facts.kappa is not None and math.isfinite(facts.kappa)
        return None if known else "the condition number must be known and finite"

    def solve(self, system):
        n, products = system.matrix.n, 0

        def matvec(v):
            nonlocal products
            products += 1
            return system.matrix.product(v)

        A = LinearOperator((n, n), matvec=matvec, dtype=system.rhs.dtype)
        x, ended = minres(A, system.rhs, rtol=system.tol, maxiter=self.max_iter or 5 * n)
        status = SolveStatus.SUCCESS if ended == 0 else SolveStatus.MAX_ITERATIONS
        # `solution_of` measures the residual, and turns a solution that is not finite into a failure
        return solution_of(system, x, status, products=products)


class MyCost(CostModel):
    """The time of kappa ln(2 / tol) products, or of sqrt(kappa) / 2 ln(2 / tol) products for a definite matrix."""

    def __call__(self, facts, tol):
        rates = REFERENCE_RATES
        rate = math.sqrt(facts.kappa) / 2 if facts.positive_definite else facts.kappa
        products = min(rate * math.log(2 / tol), 5.0 * facts.n)
        seconds_per_product = rates.seconds("gemm", facts.product_flops, 64) + rates.call_seconds
        return CostEstimate(
            products * seconds_per_product,
            {"products": products},
            "Greenbaum (1997), section 3.1",
            seconds_per_product=seconds_per_product,
        )


mine = Backend("mine", MySolver(), MyCost())
scheduler = Scheduler(default_backends() + [mine])

# %%
# Before any fit, the scheduler shows what it would choose, and why.
for kappa in (2.0, 1e6):
    decision = scheduler.choose(SystemFacts(n=5000, kappa=kappa, positive_definite=False), tol=1e-2)
    seconds = decision.estimates["mine"].seconds
    print(f"kappa = {kappa:.0e}: {decision.chosen} is chosen; mine would take {seconds:.1e} s")

kappas = np.logspace(0, 6, 50)
curves = {"mine": [], "ldl": []}
for kappa in kappas:
    estimates = scheduler.choose(
        SystemFacts(n=5000, kappa=kappa, positive_definite=False), tol=1e-2
    ).estimates
    for name, seconds in curves.items():
        seconds.append(estimates[name].seconds)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, seconds in curves.items():
    ax.loglog(kappas, seconds, label=name)
ax.set(xlabel="condition number", ylabel="predicted seconds", title="An indefinite system of 5000 unknowns")
ax.legend()
plt.show()

# %%
# In a fit, the backend competes with the others in every step, or is the only one.
X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
settings = dict(curvature="gauss_newton", alpha=0.1, random_state=0)
for offered in (scheduler, Scheduler([mine])):
    net = QNewtonClassifier((4,), scheduler=offered, **settings).fit(X, y)
    names, counts = np.unique(net.schedule_, return_counts=True)
    print(f"loss {net.loss_:.6f}, solved by", dict(zip(names.tolist(), counts.tolist())))
