"""
Where a quantum solver would break even
=======================================

How fast would the gates of a quantum computer have to be, for a linear system to be solved in the time of LU? Each
line of the map belongs to one gate time. On the line both solvers take equally long; below it (better conditioned
systems) the quantum solver is faster. The paper (arXiv:2405.00252) charges the quantum solver only for its queries;
end to end, loading the matrix, reading the solution and estimating its norm are charged too.
"""

import matplotlib.pyplot as plt
import numpy as np

from qnewton_sk import BreakEvenDisplay, Scheduler, SystemFacts

# %%
# Costs are functions of a few facts, so the map goes far beyond any matrix that fits into memory. Each row has ten
# nonzeros; LU is charged as for a dense matrix, as in the paper.
facts = [
    SystemFacts(n=int(n), kappa=kappa, row_nonzeros=10)
    for n in np.logspace(3, 9, 61)
    for kappa in np.logspace(0, 8, 81)
]
display = BreakEvenDisplay.from_facts(facts, tol=1e-2)
display.ax_.set_title("Solution to 1e-2, ten nonzeros per row, against dense LU")
plt.show()

# %%
# The next lines show how far the two views are apart.
for n in (1e3, 1e6, 1e9):
    row, column = np.abs(display.kappa - 100).argmin(), np.abs(display.n - n).argmin()
    paper, honest = (display.break_even_seconds[view][row, column] for view in ("paper", "end to end"))
    print(f"N = {n:.0e}, kappa = 100: {paper:.0e} s per gate by the paper, {honest:.0e} s end to end")

# %%
# A matrix with ten nonzeros per row would not be given to dense LU. Against the cheapest classical solver that takes
# advantage of them (the matrix is positive definite), the gates have to be faster still.
scheduler = Scheduler(assumptions="end_to_end")
for n in (10**3, 10**6, 10**9):
    sparse = SystemFacts(n=n, kappa=100.0, row_nonzeros=10, nnz=10 * n, positive_definite=True)
    decision = scheduler.choose(sparse, tol=1e-2)
    print(
        f"N = {n:.0e}, kappa = 100: {decision.break_even_gate_time:.0e} s per gate against {decision.chosen}"
    )
