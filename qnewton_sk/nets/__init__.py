"""Multilayer perceptrons: the net, its losses and activations, and the training objective."""

from .activations import resolve_activation
from .duplicates import distinct_samples
from .losses import LogisticCrossEntropy, SoftmaxCrossEntropy, resolve_loss
from .network import Network
from .objective import CHUNK_BYTES, Objective

__all__ = [
    "CHUNK_BYTES",
    "LogisticCrossEntropy",
    "Network",
    "Objective",
    "SoftmaxCrossEntropy",
    "distinct_samples",
    "resolve_activation",
    "resolve_loss",
]
