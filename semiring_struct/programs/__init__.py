"""The language of programs: charts, affine views, expressions, statements, and the table that machines run."""

from semiring_struct.programs.affine import Affine, Length
from semiring_struct.programs.description import Described, Local, Undescribed, Writer, attributes, made, rebuilt
from semiring_struct.programs.einsum import largest_intermediate
from semiring_struct.programs.expression import Expression, View
from semiring_struct.programs.program import Cost, Program, finish
from semiring_struct.programs.recorder import Recorder
from semiring_struct.programs.registry import Source, program_of
from semiring_struct.programs.table import Block, Row, RowTerm, Window

__all__ = [
    "Affine", "Block", "Cost", "Described", "Expression", "Length", "Local", "Program", "Recorder", "Row", "RowTerm",
    "Source", "Undescribed", "View", "Window", "Writer", "attributes", "finish", "largest_intermediate", "made",
    "program_of", "rebuilt",
]  # fmt: skip
