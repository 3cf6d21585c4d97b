"""A generator for encoders: a description and label words in, adapters and a classifier out, in one forward pass.

Adapters (LoRA factors) come from the latent of the description; a classifier row comes from its label's own words, so
label sets that were never trained work at once. Labelled rows, where there are any, refine the rows in closed form.
"""

from hypernet.adapters.checkpoint import load_adapter_generator, save_adapter_generator
from hypernet.adapters.generator import AdapterGenerator, AdapterGeneratorConfig
from hypernet.adapters.solve import solve_head

__all__ = [
    "AdapterGenerator",
    "AdapterGeneratorConfig",
    "load_adapter_generator",
    "save_adapter_generator",
    "solve_head",
]
