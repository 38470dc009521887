"""
Cost over condition number and sparsity
=======================================

Modelled cost of one solve over the condition number and over the oracle sparsity (figure 5 of
arXiv:2405.00252), under the paper's assumptions and under those that also charge for loading, readout and the norm.
Cost models are pure functions of a few facts, so that the picture needs no matrix.
"""

import matplotlib.pyplot as plt
import numpy as np

from qnewton_sk import QuantumCost
from qnewton_sk.quantum import quantum_cost_table
from qnewton_sk.solvers import CGCost, DirectCost

N = 13_002  # the paper's net on MNIST
TOL = 1e-12  # the paper's error
WORKABLE_TOL = 1e-2  # what Newton's method needs, and a readout can provide

quantum = {
    "quantum, 1e-18 s, the paper's view": (QuantumCost(hardware="attosecond"), TOL),
    "quantum, 1e-18 s, end to end": (
        QuantumCost(hardware="attosecond", assumptions="end_to_end"),
        WORKABLE_TOL,
    ),
    "quantum, 6.8e-8 s, the paper's view": (QuantumCost(hardware="ibm_torino"), TOL),
}
kappas = np.logspace(1, 8, 40)
sparsities = np.unique(np.logspace(0, np.log10(N), 40).astype(int))
sweeps = {
    "kappa": ("condition number (d = 1000)", dict(kappa=kappas, row_nonzeros=1000)),
    "row_nonzeros": ("oracle sparsity d (condition number 1e4)", dict(kappa=1e4, row_nonzeros=sparsities)),
}

# %%
# The classical costs follow from the reference rates. That of LU depends on neither quantity, that of conjugate
# gradients on the condition number (to an error of 1e-2, and for definite matrices).
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
for ax, (column, (label, grid)) in zip(axes, sweeps.items()):
    for name, (cost, tol) in quantum.items():
        table = quantum_cost_table(cost, n=N, tol=tol, classical_cost=DirectCost("lu"), **grid)
        ax.loglog(table[column], table["quantum_seconds"], label=name)
    ax.loglog(table[column], table["classical_seconds"], "k", label="LU")
    conjugate = quantum_cost_table(cost, n=N, tol=WORKABLE_TOL, classical_cost=CGCost(), **grid)
    ax.loglog(conjugate[column], conjugate["classical_seconds"], "k--", label="conjugate gradients")
    ax.set(xlabel=label)
axes[0].set_ylabel("modelled cost of one solve (s)")
axes[0].legend(fontsize="small")
figure.suptitle(f"N = {N}")
plt.show()
