"""Groups of parameters that share a penalty."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Groups:
    """Which parameters share a penalty.

    Parameters
    ----------
    index : ndarray of int, shape (n_params,)
        Group of each parameter; -1 is a flat prior, which penalises nothing.
    layers : tuple of tuple of int
        For each layer, the groups of its weights.
    inputs : tuple of int
        For each input its group, if inputs have groups of their own; else empty.
    """

    index: np.ndarray
    layers: tuple
    inputs: tuple = ()

    @property
    def count(self):
        """Number of groups."""
        return int(self.index.max()) + 1

    def sums(self, values):
        """Return the sums over the groups, shape (count,), of `values` of shape (n_params,)."""
        return np.bincount(self.index + 1, values, self.count + 1)[1:]

    @property
    def sizes(self):
        """Number of parameters of each group, shape (count,)."""
        return self.sums(np.ones(len(self.index)))

    def spread(self, values):
        """Return each parameter's value of shape (n_params,), 0.0 for those without a group."""
        return np.append(values, 0.0)[self.index]  # index -1 is the last entry


def penalty_groups(network, *, per_input=False):
    """Return one group per layer of weights, and one per hidden layer of intercepts.

    Intercepts of hidden units need a prior, since those of a unit without influence are not determined by the
    data; they have groups of their own (MacKay 1992, "A practical Bayesian framework for backpropagation
    networks", section 4). Intercepts of the outputs are always determined, and have a flat prior, but for the
    softmax, which leaves their sum open.

    Parameters
    ----------
    network : Network
        The net.
    per_input : bool, default=False
        One group per input in place of one for the first layer: automatic relevance determination (MacKay 1994;
        Neal 1996, section 1.2.3).

    Returns
    -------
    Groups

    Examples
    --------
    >>> from qnewton_sk.inference.groups import penalty_groups
    >>> from qnewton_sk.nets import Network, resolve_activation, resolve_loss
    >>> net = Network([2, 3, 1], [resolve_activation("tanh")], resolve_loss("squared_error"))
    >>> penalty_groups(net).index.tolist()
    [0, 0, 0, 0, 0, 0, 2, 2, 2, 1, 1, 1, -1]
    """
    first = network.widths[0] if per_input else 1
    index = np.full(network.n_params, -1)
    weights = []
    for l, W in enumerate(network.layers(index)):
        groups = tuple(range(first)) if l == 0 else (first + l - 1,)
        W[:-1] = np.array(groups)[:, None] if l == 0 else groups[0]
        weights.append(groups)
    count = first + network.n_layers - 1
    open_sum = network.loss.is_shift_invariant
    for l, W in enumerate(network.layers(index)[: None if open_sum else -1]):
        W[-1] = count + l
    return Groups(index, tuple(weights), tuple(range(first)) if per_input else ())
