"""A generator for any table: labelled rows in, the weights of an ordinary MLP out, in one forward pass.

Columns are tokens, so any width works; the head is solved in closed form (a convex problem, Newton-like steps on all
support rows), so any number of classes and regression work. What is learned, on synthetic tables only, is how strongly
every unit of the network may speak (its prior scale), read from the support rows.
"""

from hypernet.tables.generator import TableGenerator, TableGeneratorConfig, Written, join
from hypernet.tables.network import Width

__all__ = ["TableGenerator", "TableGeneratorConfig", "Width", "Written", "join"]
