"""
How few entries hold a row
==========================

The p%-sparsity of a row is the minimum number of entries whose absolute values add up to p% of the row. The figure
shows its distribution over the rows of the Hessian, before and after ten Newton steps (figure 6 of arXiv:2405.00252).
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from qnewton_sk import HessianDisplay, QNewtonClassifier, oracle_sparsity

warnings.simplefilter("ignore", ConvergenceWarning)  # the fits are cut short on purpose

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X)


def fitted(steps):
    """Return a net after this number of Newton steps, which follow five first-order steps."""
    settings = dict(alpha=1e-4, first_order_steps=5, max_iter=5 + steps, random_state=0)
    return QNewtonClassifier(curvature="hessian", **settings).fit(X, y)


hessians = {steps: fitted(steps).hessian(X, y) for steps in (0, 10)}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharex=True, sharey=True, layout="constrained")
for ax, (steps, H) in zip(axes, hessians.items()):
    HessianDisplay.from_matrix(H, kind="sparsity", ax=ax)
    ax.set_title(f"after {steps} Newton steps")
plt.show()

# %%
# The oracle sparsity in the quantum cost is their maximum at p = 50.
for steps, H in hessians.items():
    rows = oracle_sparsity(H, fraction=0.5)
    print(f"after {steps:>2} steps: median {np.median(rows):.0f}, largest {rows.max()} of {len(H)} entries")
