"""
Probabilities that mean what they say
=====================================

A classifier without enough regularisation is right less often than its probabilities say. With penalties found by the
evidence, and probabilities averaged over the posterior, confidence and accuracy agree more closely.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, UncertaintyDisplay

X, y = load_breast_cancer(return_X_y=True)
nets = {
    "alpha=1e-4": QNewtonClassifier(alpha=1e-4, random_state=0),
    "evidence": QNewtonClassifier(alpha="evidence", posterior="full", random_state=0),
}

# %%
# Every sample is predicted by a net that has not seen it.
folds = StratifiedKFold(5, shuffle=True, random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
for (name, net), ax in zip(nets.items(), axes):
    p = cross_val_predict(make_pipeline(StandardScaler(), net), X, y, cv=folds, method="predict_proba")
    display = UncertaintyDisplay.from_predictions(y, p, ax=ax)
    error, loss = display.calibration_error, log_loss(y, p)
    ax.set(
        title=f"{name}: log loss {loss:.3f}, calibration error {error:.3f}", xlim=(0.45, 1.02), ylim=(0, 1.05)
    )
    print(f"{name}: log loss {loss:.3f}, expected calibration error {error:.3f}")
plt.show()
