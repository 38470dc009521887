"""The net: widths, activations, loss, and the order of its parameters.

Conventions
-----------
There are n samples and the layers 1..L of widths h_0 (inputs) .. h_L (outputs, K of them). Inside, units come first
and samples last, so that elementwise operations run along the samples whatever the widths: a_0 = X^T, abar = [a; 1],
z_l = Wbar_l^T abar_{l-1} with Wbar_l = [W_l; b_l] of shape (h_{l-1} + 1, h_l), a_l = f_l(z_l); z_L is the raw output.
theta is Wbar_1, .., Wbar_L one after the other, each in C order, so that dJ/dWbar_l = abar_{l-1} delta_l^T is written
straight into its place. In the code layers count from 0: layer l has the inputs ``inputs[l]`` = abar_l and the
pre-activations ``z[l]`` = z_{l+1}.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .activations import ACTIVATIONS, Activation
from .losses import BUILT_IN, Loss

Array = NDArray[Any]


class Network:
    """Shapes, activations and loss of a multilayer perceptron; it holds no parameters.

    Parameters
    ----------
    widths : sequence of int
        h_0, .., h_L.
    activations : sequence of Activation
        f_1, .., f_{L-1}.
    loss : Loss
        The loss of the raw outputs.

    Examples
    --------
    >>> from qnewton_sk.nets import Network, resolve_activation, resolve_loss
    >>> network = Network((4, 3, 1), [resolve_activation("tanh")], resolve_loss("squared_error"))
    >>> network.layer_slices
    (slice(0, 15, None), slice(15, 19, None))
    """

    def __init__(self, widths: Iterable[int], activations: Iterable[Activation], loss: Loss):
        self.widths = tuple(int(h) for h in widths)
        self.activations = tuple(activations)
        self.loss = loss
        ends = np.cumsum([0] + [(i + 1) * o for i, o in zip(self.widths, self.widths[1:])]).tolist()
        self.layer_slices = tuple(slice(a, b) for a, b in zip(ends, ends[1:]))
        self._shapes = tuple((i + 1, o) for i, o in zip(self.widths, self.widths[1:]))
        self.n_params: int = ends[-1]

    @cached_property
    def is_built_in(self) -> bool:
        """Whether loss and activations are all of this package, and thereby known to work in any precision."""
        activations = all(f in ACTIVATIONS.values() for f in self.activations)
        return type(self.loss) in BUILT_IN and activations

    @property
    def n_layers(self) -> int:
        """The number L of layers with weights."""
        return len(self.widths) - 1

    def layers(self, theta: Array) -> list[Array]:
        """Return [Wbar_1, .., Wbar_L], views of theta."""
        return [theta[part].reshape(shape) for part, shape in zip(self.layer_slices, self._shapes)]

    def unpack(self, theta: Array) -> tuple[list[Array], list[Array]]:
        """Return (coefs, intercepts), copies in scikit-learn's shapes."""
        layers = self.layers(theta)
        return [W[:-1].copy() for W in layers], [W[-1].copy() for W in layers]

    def pack(
        self, coefs: Sequence[Array], intercepts: Sequence[Array], dtype: DTypeLike = np.float64
    ) -> Array:
        """Return theta of shape (n_params,) from scikit-learn's lists."""
        rows = [np.vstack([W, b]).ravel() for W, b in zip(coefs, intercepts)]
        return np.concatenate(rows).astype(dtype, copy=False)

    def initial(self, random_state: np.random.RandomState, dtype: DTypeLike = np.float64) -> Array:
        """Return Glorot-uniform parameters, drawn in the order in which scikit-learn's MLP draws them."""
        coefs, intercepts = [], []
        factors = [f.glorot_factor for f in self.activations] or [Activation.glorot_factor]
        factors.append(factors[-1])  # the outputs begin as the layer before them
        for factor, fan_in, fan_out in zip(factors, self.widths, self.widths[1:]):
            bound = np.sqrt(factor / (fan_in + fan_out))
            coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)))
            intercepts.append(random_state.uniform(-bound, bound, fan_out))
        return self.pack(coefs, intercepts, dtype)

    def raw(self, X: Any, theta: Array) -> Array:
        """Return the raw outputs of shape (n, K) for X (ndarray or sparse) of shape (n, h_0).

        An output that exceeds the largest number of the type is infinite or NaN.
        """
        a = X
        with np.errstate(over="ignore", invalid="ignore"):
            for layer, W in enumerate(self.layers(theta)):
                a = a @ W[:-1] + W[-1]
                if layer < len(self.activations):
                    a = self.activations[layer].value(a)
        return a

    @cached_property
    def penalised(self) -> Array:
        """Mask of shape (n_params,): 1.0 for weights, 0.0 for intercepts."""
        mask = np.ones(self.n_params)
        for W in self.layers(mask):
            W[-1] = 0
        return mask
