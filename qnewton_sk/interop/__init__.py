"""Conversion to and from other tools: ONNX, and scikit-learn's own multilayer perceptrons."""

from .mlp import from_mlp, to_mlp
from .onnx_export import register_onnx

__all__ = ["from_mlp", "register_onnx", "to_mlp"]
