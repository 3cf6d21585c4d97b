"""The words: requirement sentences, the offline writer that makes them, and descriptions of the paper's tables."""

from .offline import (
    NAMING_COLUMNS,
    ParsedRequirement,
    TaskFacts,
    parse_requirement,
    read_n_classes,
    read_n_features,
    read_scale,
    requirement_set,
    write_requirement,
)
from .tables import held_out_descriptions, table_descriptions

__all__ = [
    "NAMING_COLUMNS",
    "ParsedRequirement",
    "TaskFacts",
    "held_out_descriptions",
    "parse_requirement",
    "read_n_classes",
    "read_n_features",
    "read_scale",
    "requirement_set",
    "table_descriptions",
    "write_requirement",
]
