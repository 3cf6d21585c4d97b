"""Models in the formats of other engines, each compared with the model it was made of."""

from flame.export.exporting import export_model
from flame.export.packaging import package_model
from flame.export.parity import ExportError, ParityReport

__all__ = ["ExportError", "ParityReport", "export_model", "package_model"]
