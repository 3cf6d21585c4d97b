"""The method: a requirement in, weights out; and how that is trained."""

from hypernet.config import ExperimentConfig, TrainConfig, read_config
from hypernet.decoder import MultiHeadDecoder
from hypernet.encoder import EncoderConfig, RequirementEncoder
from hypernet.generator import GeneratorConfig, ParameterGenerator, build_generator
from hypernet.tasks import TaskData, TaskRecord

__all__ = [
    "EncoderConfig",
    "ExperimentConfig",
    "GeneratorConfig",
    "MultiHeadDecoder",
    "ParameterGenerator",
    "RequirementEncoder",
    "TaskData",
    "TaskRecord",
    "TrainConfig",
    "build_generator",
    "read_config",
]
