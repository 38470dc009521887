"""The rules that turn gradients into steps: SGD, Adam, and Newton's GD with layer-wise Fisher in three readings.

A rule is a function of the state and of the results of one backward pass; it returns the change of every parameter.
Arrays that no linear layer recorded (embeddings, norms, the output layer) take plain gradient steps with every rule
but Adam.
"""

import numpy as np
from fisher import TINY, Fisher

CLIP = 100.0
"""Maximum entry of a rescaled gradient, as in the paper's published code."""

WARM_UP_STEPS = 20
"""Steps over which the rates rise linearly from 0; then they are constant. (The paper: 1000 of some 6000.)"""


def sgd(gradient, samples, state, settings):
    """Return the step -rate g."""
    return {path: -settings["rate"] * g for path, g in gradient.items()}


def newton(gradient, samples, state, settings):
    """-(block rate) (F + eps max|F| I)^-1 g for every array of a linear layer, as the paper writes it."""
    return _by_block(gradient, samples, settings, lambda fisher, g: fisher.solve(g.ravel()).reshape(g.shape))


def newton_transposed(gradient, samples, state, settings):
    """The same in the layout of the published code: F is that of [in, out], the gradient comes as [out, in]."""

    def direction(fisher, g):
        return fisher.solve(g.T.ravel()).reshape(g.T.shape).T

    return _by_block(gradient, samples, settings, direction)


def scaled(gradient, samples, state, settings):
    """-(block rate) g / (eps max|F|) for every array: Newton's step without its inverse."""
    return _by_block(gradient, samples, settings, lambda fisher, g: g / fisher.shift)


def adam(gradient, samples, state, settings, decay=(0.9, 0.999), eps=1e-8):
    """Adam (Kingma, Ba 2014, arXiv:1412.6980)."""
    step, steps = state["step"] + 1, {}
    for path, g in gradient.items():
        m, v = state.get(("m", path), np.zeros_like(g)), state.get(("v", path), np.zeros_like(g))
        state["m", path] = m = decay[0] * m + (1 - decay[0]) * g
        state["v", path] = v = decay[1] * v + (1 - decay[1]) * g * g
        size = np.sqrt(v * (1 / (1 - decay[1] ** step))) + eps
        steps[path] = -settings["rate"] / (1 - decay[0] ** step) * m / size
    return steps


RULES = {
    "sgd": sgd,
    "newton": newton,
    "newton_transposed": newton_transposed,
    "scaled": scaled,
    "adam": adam,
}
NEEDS_SAMPLES = {"newton", "newton_transposed", "scaled"}


def warm_up(step):
    """Return the factor on the rates at `step`, counted from 0."""
    return min(1.0, (step + 1) / WARM_UP_STEPS)


def _by_block(gradient, samples, settings, direction):
    steps = {}
    for path, g in gradient.items():
        if path not in samples:
            steps[path] = -settings["rate"] * g
            continue
        fisher = Fisher(samples[path], settings["eps"])
        d = np.clip(direction(fisher, g), -CLIP, CLIP)
        steps[path] = (-settings["block_rate"] * d).astype(g.dtype)
    return steps


__all__ = ["CLIP", "NEEDS_SAMPLES", "RULES", "TINY", "warm_up"]
