"""
Newton's method for your own model
==================================

A spectrum with two overlapping peaks on a sloping background is a model that no estimator offers. It takes a few lines
of autograd.numpy; Newton's method finds heights, places and widths.
"""

import autograd.numpy as np
import matplotlib.pyplot as plt

from qnewton_sk import minimize

rng = np.random.default_rng(0)
x = np.linspace(0, 10, 200)


def spectrum(params, x):
    peaks = params["height"] * np.exp(-0.5 * ((x[:, None] - params["place"]) / params["width"]) ** 2)
    return np.sum(peaks, axis=1) + params["background"][0] + params["background"][1] * x


truth = {
    "height": np.array([2.0, 1.0]),
    "place": np.array([4.0, 5.5]),
    "width": np.array([0.6, 0.9]),
    "background": np.array([0.5, 0.05]),
}
noise = 0.05
y = spectrum(truth, x) + noise * rng.standard_normal(len(x))
start = {"height": [1.0, 1.0], "place": [3.0, 7.0], "width": [1.0, 1.0], "background": [0.0, 0.0]}

# %%
# Gauss-Newton needs outputs and a loss of them; the exact Hessian and the empirical Fisher matrix only need losses.
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for curvature in ("gauss_newton", "hessian", "empirical_fisher"):
    result = minimize(spectrum, start, (x, y), loss="squared_error", curvature=curvature, tol=1e-6)
    left.semilogy(result.history["loss"], label=f"{curvature}: {result.nit} steps")
    print(f"{curvature}: {result.message}")
left.set(xlabel="step", ylabel="loss")
left.legend()

# %%
# The parameters that `minimize` found, beside the true ones, and the model beside the data.
result = minimize(spectrum, start, (x, y), loss="squared_error", tol=1e-6)
for name, values in result.x.items():
    print(f"{name}: {np.round(values, 3)}, truth {truth[name]}")
right.plot(x, y, ".", ms=3, color="0.6", label="data")
right.plot(x, spectrum(start, x), "--", label="start")
right.plot(x, spectrum(result.x, x), label="fit")
right.set(xlabel="x")
right.legend()
plt.show()
