"""
A quantum cost of your own
==========================

A cost is a function of the facts about a system and of the allowed error; it returns a ``CostEstimate``.
This one adds the cost of error correction: the longer a computation is, the larger is the distance of the surface
code that protects it, and the slower is each of its gates. It takes the number of runs and queries from
``QuantumCost.resources``. Your own machine is one ``QuantumHardware``, your own query count is one function,
and ``QuantumAssumptions`` says what is charged.
"""

import math

import matplotlib.pyplot as plt
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from qnewton_sk import (
    QLSA,
    Backend,
    CostEstimate,
    QNewtonClassifier,
    QuantumAssumptions,
    QuantumCost,
    QuantumHardware,
    Scheduler,
    SystemFacts,
    classical_backends,
)

CYCLE_SECONDS = 1e-6  # one round of the surface code on superconducting qubits, the usual assumption
PHYSICAL_ERROR, THRESHOLD = 1e-3, 1e-2  # the usual assumptions too


def code_distance(operations, allowed_failure=0.1):
    """Return the smallest odd distance with 0.1 (p / p_th)^((distance + 1) / 2) * operations <= allowed_failure.

    Fowler, Gidney (2018), arXiv:1808.06709.
    """
    half = math.log(0.1 * operations / allowed_failure) / math.log(THRESHOLD / PHYSICAL_ERROR)
    return 2 * max(math.ceil(half), 2) - 1


def surface_code_cost(facts, tol):
    """A quantum solve whose logical gates take as many code cycles as the code distance."""
    needed = QuantumCost(assumptions="end_to_end").resources(facts, tol)
    logical = QuantumHardware("logical", gate_seconds=1.0, toffoli_seconds=1.0)  # times in logical gates
    # the queries of one copy are the longest computation that has to stay coherent
    gates_per_copy = needed.expected_queries * needed.query_seconds(logical)
    distance = code_distance(gates_per_copy * needed.logical_qubits)
    gates = needed.total_queries * needed.query_seconds(logical)
    seconds = gates * distance * CYCLE_SECONDS
    terms = {"code_distance": distance, "gates": gates, "gates_per_copy": gates_per_copy}
    return CostEstimate(seconds, terms, "surface code, arXiv:1808.06709")


for n in (100, 10_000, 1_000_000):
    estimate = surface_code_cost(SystemFacts(n=n, kappa=100.0, row_nonzeros=10), tol=1e-2)
    print(f"N = {n:>9,}: code distance {estimate.terms['code_distance']:.0f}, {estimate.seconds:.1e} s")

sizes = [10**k for k in range(2, 9)]
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for kappa in (10.0, 100.0, 1000.0):
    seconds = [surface_code_cost(SystemFacts(n=n, kappa=kappa, row_nonzeros=10), 1e-2).seconds for n in sizes]
    ax.loglog(sizes, seconds, "o-", label=f"condition number {kappa:.0f}")
ax.set(xlabel="unknowns", ylabel="seconds of one solve", title="Charged end to end, with error correction")
ax.legend()
plt.show()

# %%
# It competes with the classical solvers in every step, as any backend does. So does your own machine with the
# paper's assumptions, with your own assumptions, or with your own query count.
X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
machine = QuantumHardware("mine", gate_seconds=1e-15, source="a guess")
loaded = QuantumCost(hardware=machine, assumptions=QuantumAssumptions(loading="qrom", rhs_loading="qrom"))
optimistic = QuantumCost(lambda kappa, tol, alpha: alpha * kappa, machine)
offered = [
    classical_backends()[0],  # LU, the classical solver of the paper
    Backend("surface_code", QLSA(), surface_code_cost, kind="quantum"),
    Backend("mine", QLSA(), QuantumCost(hardware=machine), kind="quantum"),
    Backend("mine, with loading", QLSA(), loaded, kind="quantum"),
    Backend("mine, optimistic", QLSA(), optimistic, kind="quantum"),
]
net = QNewtonClassifier((4,), scheduler=Scheduler(offered), random_state=0)
net.fit(X, y)
print("solved by", sorted(set(net.schedule_)))
