"""
Accuracy over the oracle sparsity
=================================

Pruning the matrix to d entries per row makes a quantum query cheaper. This page shows how far that goes before
Newton's steps suffer (figure 1, left, of arXiv:2405.00252). The accuracy hardly changes; the training loss does, if
the matrix matters to the steps at all.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier
from qnewton_sk.reports.tradeoffs import sparsity_tradeoff

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

# %%
# With the paper's constant step, a regularisation of 0.1 is large beside most of the matrix: whatever is pruned, the
# loss after 15 steps is the same. The default trust region lowers the damping as the fit goes on. There the matrix
# matters, and the more of it is kept, the lower is the loss.
settings = {
    "fixed step": dict(step_control="fixed", regularization=0.1, learning_rate_init=0.5),
    "trust region": {},
}
shares = [0.02, 0.2, 0.4, 0.7, 1.0]
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, setting in settings.items():
    net = QNewtonClassifier(
        (8,),
        alpha=1e-4,
        curvature="gauss_newton",
        scheduler="classical",
        first_order_steps=5,
        max_iter=15,
        random_state=0,
        **setting,
    )
    table = sparsity_tradeoff(net, X_train, y_train, X_test, y_test, shares)
    for share, score, loss in zip(shares, table["score"], table["loss"]):
        print(f"{name}, {share:4.0%} of a row kept: accuracy {score:.2f}, training loss {loss:.2g}")
    for ax, column in zip(axes, ("score", "loss")):
        ax.plot(shares, table[column], "o-", label=name)
axes[0].set(xlabel="oracle sparsity as a share of N", ylabel="test accuracy after 15 steps", ylim=(0.5, 1))
axes[1].set(xlabel="oracle sparsity as a share of N", ylabel="training loss after 15 steps", yscale="log")
axes[0].legend()
plt.show()
