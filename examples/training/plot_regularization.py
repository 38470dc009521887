"""
Accuracy and condition number over the regularisation
=====================================================

The regularisation that is added to the diagonal bounds the condition number, and with it the cost of the quantum
solver. This page shows how much accuracy that costs (figure 8 of arXiv:2405.00252).
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier
from qnewton_sk.reports.tradeoffs import regularization_tradeoff

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

# %%
# With the paper's constant step, only the regularisation bounds a step. Gauss-Newton replaces the Hessian, which
# would be indefinite with the smallest of these values.
net = QNewtonClassifier(
    (10,),
    alpha=1e-4,
    curvature="gauss_newton",
    condition_number="lanczos",
    step_control="fixed",
    learning_rate_init=0.5,
    first_order_steps=5,
    max_iter=20,
    random_state=0,
)
values = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
table = regularization_tradeoff(net, X_train, y_train, X_test, y_test, values)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.semilogx(values, table["score"], "o-", label="test accuracy")
ax.set(xlabel="regularisation", ylabel="test accuracy after 20 steps", ylim=(0, 1.02))
right = ax.twinx()
right.loglog(values, table["condition_number"], "s--", color="tab:red", label="condition number")
right.set_ylabel("condition number of the last system")
figure.legend(loc="outside upper right")
plt.show()
