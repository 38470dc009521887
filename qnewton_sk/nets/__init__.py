"""Multilayer perceptrons: the net, its losses and activations, and the training objective."""

from .activations import resolve_activation
from .duplicates import distinct_samples
from .linear_layer import SampleGradients, linear_layer, parameter_leaves, sample_gradients
from .losses import LogisticCrossEntropy, SoftmaxCrossEntropy, resolve_loss
from .network import Network
from .objective import CHUNK_BYTES, Objective

__all__ = [
    "CHUNK_BYTES",
    "LogisticCrossEntropy",
    "Network",
    "Objective",
    "SampleGradients",
    "SoftmaxCrossEntropy",
    "distinct_samples",
    "linear_layer",
    "parameter_leaves",
    "resolve_activation",
    "resolve_loss",
    "sample_gradients",
]
