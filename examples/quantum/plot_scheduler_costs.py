"""
Which solver is chosen in which step
====================================

The modelled cost of the classical and of the quantum solve at every Newton step, and the scheduler's choice
(figure 1, right, of arXiv:2405.00252). LU costs the same in every step; the cost of the quantum solver follows the
condition number, so that the cheaper one changes from step to step. As in the paper, the quantum solver is
charged only for its queries, not for loading the data or reading the solution.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from qnewton_sk import (
    HARDWARE,
    QNewtonClassifier,
    ScheduleDisplay,
    Scheduler,
    classical_backends,
    quantum_backend,
)

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X)

# %%
# With gates of a nanosecond, the quantum solver is cheaper in most steps of this fit, and more expensive by orders of
# magnitude in the few that are badly conditioned. The condition number is measured in each step.
lu = classical_backends()[0]
nanosecond = quantum_backend("photonic")
net = QNewtonClassifier(
    (10,),
    alpha=1e-4,
    curvature="hessian",
    condition_number="lanczos",
    scheduler=Scheduler([lu, nanosecond], tol=1e-12),
    first_order_steps=5,
    max_iter=30,
    tol=0.0,
    n_iter_no_change=30,
    random_state=0,
).fit(X, y)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ScheduleDisplay.from_estimator(net, ax=ax)
ax.set_title("QLSA with gates of 1e-9 s against LU")
plt.show()

# %%
# These are the total costs of the solves of this fit: the few bad steps make "quantum only" the most expensive
# method, and the choice in every step makes Q-Newton the cheapest.
costs = {
    "classical only": net.history_["classical_cost"],
    "quantum only": net.history_["quantum_cost"],
    "Q-Newton": net.history_["modelled_seconds"],
}
for name, seconds in costs.items():
    print(f"{name:>14}: {np.nansum(seconds):9.3g} s for all solves")

# %%
# Each step has a gate time at which both solvers would cost the same. The table counts the steps in which each
# machine would be faster than LU. The gate times of today's machines only show the scale, since their qubits would
# not stay coherent through such a circuit.
break_even = np.asarray(net.history_["break_even_gate_time"], dtype=float)
break_even = break_even[np.isfinite(break_even)]
print(f"break-even gate times: {break_even.min():.1e} s to {break_even.max():.1e} s")
for name in ("attosecond", "photonic", "ibm_torino", "fault_tolerant"):
    gate_seconds = HARDWARE[name].gate_seconds
    won = np.count_nonzero(break_even > gate_seconds)
    print(
        f"{name:>14}, {gate_seconds:.1e} s per gate: {won} of {break_even.size} steps to the quantum solver"
    )

# %%
# Charged end to end, the break-even gate time of the same system is smaller by many orders of magnitude: see
# :ref:`sphx_glr_gallery_quantum_plot_break_even.py`.
