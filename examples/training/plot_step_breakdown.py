"""
Where the time of a step goes
=============================

The figure shows the measured stages of the first Newton steps: gradient, Hessian, condition number and choice, solve
(figure 3 of arXiv:2405.00252, where the inversion dominates). The curvature is assembled in closed form and the
factorisation of a symmetric matrix is cheaper than an inversion, so the picture is more even here.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, Scheduler
from qnewton_sk.scheduling.backends import classical_backends

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X)
net = QNewtonClassifier(
    alpha=1e-4,
    curvature="hessian",
    condition_number="lanczos",
    scheduler=Scheduler(classical_backends()[:1]),
    first_order_steps=5,
    max_iter=17,
    n_iter_no_change=20,
    random_state=0,
).fit(X, y)
history = {name: column[net.history_["phase"] == "newton"] for name, column in net.history_.items()}

# %%
# The Hessian of a rejected step is kept, so that the retry takes no time for it.
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
stages = {
    "gradient": "gradient_seconds",
    "Hessian": "hessian_seconds",
    "condition number, choice": "schedule_seconds",
    "solve (LU)": "solve_seconds",
}
base = np.zeros(len(history["step"]))
for label, column in stages.items():
    ax.bar(history["step"], history[column], bottom=base, label=label)
    base += history[column]
ax.set(
    xlabel="step", ylabel="seconds", title=f"{sum(W.size for W in net.coefs_ + net.intercepts_)} parameters"
)
ax.legend()
plt.show()
