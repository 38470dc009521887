"""To and from other tools: ONNX, and scikit-learn's own multilayer perceptrons."""

from .onnx_export import register_onnx

__all__ = ["register_onnx"]
