"""
A regression that knows where it has seen no data
=================================================

A net is fitted to two pieces of a curve. Penalties and noise level are found by the evidence, and the posterior of all
parameters gives error bars: narrow where there are data, wide in the gap and outside.
"""

import matplotlib.pyplot as plt
import numpy as np

from qnewton_sk import QNewtonRegressor, UncertaintyDisplay

rng = np.random.default_rng(1)
x = np.concatenate([rng.uniform(-3, -1, 50), rng.uniform(1, 3, 50)])
X, y = x[:, None], np.sin(2 * x) + 0.3 * x + rng.normal(0, 0.15, 100)

# %%
# One fit finds everything. `alpha_` is the penalty of each layer, in units of `alpha`; the true noise is 0.15.
net = QNewtonRegressor((20,), alpha="evidence", posterior="full", random_state=0).fit(X, y)
print("penalties:", net.alpha_.round(4))
print(f"noise: {net.noise_std_:.3f}")
print(
    f"effective parameters: {net.effective_parameters_:.1f} of {sum(W.size + W.shape[1] for W in net.coefs_)}"
)

# %%
# The band should contain 95 % of new observations, if the estimate of the noise is right.
grid = np.linspace(-5, 5, 400)[:, None]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
UncertaintyDisplay.from_estimator(net, grid, ax=left, label="prediction")
left.plot(x, y, "k.", markersize=4, label="data")
left.plot(grid, np.sin(2 * grid) + 0.3 * grid, "k--", linewidth=1, label="truth")
left.legend()
left.set_title("mean and two standard deviations")

# %%
# Draws of whole curves: `sample_y` adds noise to each observation.
right.plot(grid, net.sample_y(grid, 5, random_state=1), linewidth=0.7)
right.plot(x, y, "k.", markersize=4)
right.set(title="five draws of new observations", xlabel="input")
plt.show()
