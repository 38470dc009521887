"""Multilayer perceptrons: the net, its losses and activations, and the training objective."""

from .activations import Activation, resolve_activation
from .base_objective import BaseObjective
from .inputs import dense_inputs, inputs_of_samples, outer_product, weighted_inputs, with_ones
from .linear_layer import SampleGradients, linear_layer, parameter_leaves, sample_gradients
from .loss import Loss
from .losses import LogisticCrossEntropy, SoftmaxCrossEntropy, resolve_loss
from .network import Network
from .objective import CHUNK_BYTES, Objective
from .passes import Pass

__all__ = [
    "Activation",
    "BaseObjective",
    "CHUNK_BYTES",
    "LogisticCrossEntropy",
    "Loss",
    "Network",
    "Objective",
    "Pass",
    "SampleGradients",
    "SoftmaxCrossEntropy",
    "dense_inputs",
    "inputs_of_samples",
    "linear_layer",
    "outer_product",
    "parameter_leaves",
    "resolve_activation",
    "resolve_loss",
    "sample_gradients",
    "weighted_inputs",
    "with_ones",
]
