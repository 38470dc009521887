"""
Newton's method against first-order training
============================================

Training loss by step, and by time with modelled solves (figure 2 of arXiv:2405.00252).
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from qnewton_sk import LossCurveDisplay, QNewtonClassifier

warnings.simplefilter("ignore", ConvergenceWarning)  # the fits end by their number of steps

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X)
same = dict(alpha=1e-4, random_state=0)
nets = {
    "gradient descent": QNewtonClassifier(step_control="fixed", first_order_steps=500, max_iter=500, **same),
    "Newton, exact Hessian": QNewtonClassifier(curvature="hessian", first_order_steps=5, max_iter=50, **same),
    "default: quasi-Newton, then Newton": QNewtonClassifier(**same),
}
for net in nets.values():
    net.fit(X, y)
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, by in zip(axes, ("step", "seconds")):
    LossCurveDisplay.from_estimators(nets, by=by, ax=ax)
    ax.set_xscale("log")
plt.show()
