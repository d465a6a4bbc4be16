"""bytes -> structured text with offsets."""

from sourcebook.parse.base import Limits, Parser
from sourcebook.parse.parsing import Parsers

__all__ = ["Limits", "Parser", "Parsers"]
