"""
A curvature of your own
=======================

A curvature is a subclass of ``Curvature`` with one method: ``blocks(objective, theta)`` returns a list of
``Block``, each a slice of the parameters and the ``SystemMatrix`` of its system. The matrix is lazy: it
holds functions for its assembly and its products, with the cost of each; the scheduler decides which of the
two is used.

The exact Hessian is right near the optimum, Gauss-Newton is safe far from it. This one lies between them.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qnewton_sk import (
    Block,
    Curvature,
    GaussNewton,
    Hessian,
    LossCurveDisplay,
    QNewtonRegressor,
    SystemMatrix,
)


class Between(Curvature):
    """share * Hessian + (1 - share) * Gauss-Newton."""

    def __init__(self, share=0.5):
        self.share = share

    def blocks(self, objective, theta):
        """Return one block for all parameters; nothing is computed before it is needed."""
        share = self.share
        (block,) = Hessian().blocks(objective, theta)
        H, G = block.matrix, GaussNewton().blocks(objective, theta)[0].matrix
        matrix = SystemMatrix(
            H.n,
            assemble=lambda: share * H.entries() + (1 - share) * G.entries(),
            product=lambda v: share * H.product(v) + (1 - share) * G.product(v),
            assembly_flops=H.assembly_flops + G.assembly_flops,
            product_flops=H.product_flops + G.product_flops,
            dtype=H.dtype,
        )
        return [Block(block.parameters, matrix)]


X, y = make_friedman1(300, random_state=0)
X = StandardScaler().fit_transform(X)
models = {}
for share in (0.0, 0.5, 1.0):
    model = QNewtonRegressor((8,), curvature=Between(share), alpha=0.1, tol=1e-3, random_state=0).fit(X, y)
    print(f"share {share}: loss {model.loss_:.4f} after {model.n_steps_} steps")
    models[f"{share:.0%} Hessian"] = model
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
LossCurveDisplay.from_estimators(models, ax=ax)
plt.show()

# %%
# Its settings are parameters like all others: a grid search reaches them.
pipeline = make_pipeline(
    StandardScaler(),
    QNewtonRegressor((8,), curvature=Between(), alpha=1.0, tol=1e-3, random_state=0),
)
search = GridSearchCV(pipeline, {"qnewtonregressor__curvature__share": [0.0, 1.0]}, cv=3).fit(X, y)
print(search.best_params_, f"R2 {search.best_score_:.3f}")
