"""Settings: what each section holds, how they are read, which values they may have."""

from sourcebook.config.checks import LEAST, check
from sourcebook.config.file import FILE, load, template
from sourcebook.config.sections import (
    SECTIONS,
    Agent,
    Answer,
    Chunk,
    Config,
    Embed,
    Memory,
    Parse,
    Parts,
    Prompt,
    Retrieve,
    Route,
    Sources,
    Tables,
)

__all__ = [
    "FILE",
    "LEAST",
    "SECTIONS",
    "Agent",
    "Answer",
    "Chunk",
    "Config",
    "Embed",
    "Memory",
    "Parse",
    "Parts",
    "Prompt",
    "Retrieve",
    "Route",
    "Sources",
    "Tables",
    "check",
    "load",
    "template",
]
