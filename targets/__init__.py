"""The models being written: which tensors exist, their shapes, and how weights are put in."""

from targets.base import (
    Target,
    Weights,
    WeightSpec,
    batched_forward,
    check_weights,
    get_target,
    register_target,
    stack_weights,
    target_names,
)
from targets.mlp import MLP, MLP_SIZES, MLPSize, MLPTarget
from targets.step_mlp import StepMLP, StepMLPTarget
from targets.vision import VisionTarget

__all__ = [
    "MLP",
    "MLP_SIZES",
    "MLPSize",
    "MLPTarget",
    "StepMLP",
    "StepMLPTarget",
    "Target",
    "VisionTarget",
    "WeightSpec",
    "Weights",
    "batched_forward",
    "check_weights",
    "get_target",
    "register_target",
    "stack_weights",
    "target_names",
]
