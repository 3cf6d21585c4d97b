"""Synthetic tables on which the generator for unseen tables is pre-trained."""

from hypernet.prior.config import FAMILIES, PriorConfig
from hypernet.prior.sample import TableBatch, sample_tables
from hypernet.prior.stream import TablePrior

__all__ = ["FAMILIES", "PriorConfig", "TableBatch", "TablePrior", "sample_tables"]
