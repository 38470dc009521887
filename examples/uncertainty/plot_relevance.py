"""
Which inputs matter
===================

Friedman's first function depends on five of its ten inputs. With one penalty per input, the evidence finds out which.
This is called automatic relevance determination.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_friedman1
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonRegressor, RelevanceDisplay

X, y = make_friedman1(300, noise=1.0, random_state=0)
X = StandardScaler().fit_transform(X)

# %%
# Large penalties switch the last five inputs off. The true noise is 1.
per_input = QNewtonRegressor((10,), alpha="evidence_per_input", random_state=0).fit(X, y)
print("penalty of each input:", *(f"{alpha:.3g}" for alpha in per_input.alpha_per_input_))
print(f"noise: {per_input.noise_std_:.2f}")
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
RelevanceDisplay.from_estimator(per_input, names=[f"x{i}" for i in range(10)], ax=ax)

# %%
# The evidence itself shows whether one penalty per input is better than one per layer: higher is better.
per_layer = QNewtonRegressor((10,), alpha="evidence", random_state=0).fit(X, y)
X_new, y_new = make_friedman1(1000, noise=0.0, random_state=1)
X_new = (X_new - 0.5) / (1 / 12**0.5)
for name, net in (("one per input", per_input), ("one per layer", per_layer)):
    print(f"{name}: log evidence {net.log_evidence_:.1f}, R^2 without noise {net.score(X_new, y_new):.3f}")
plt.show()
