"""The `extractive` model: answers made of the documents' own sentences, or none at all.

question, hits -> reading (what of them is looked at) -> evidence (sentences, words)
               -> features (a row of numbers a sentence) -> judge (which answers best; whether any does)
"""

from sourcebook.models.extractive.evidence import WordAnalyzer
from sourcebook.models.extractive.model import Extractive, TextEmbedder, TokenEmbedder

__all__ = ["Extractive", "TextEmbedder", "TokenEmbedder", "WordAnalyzer", "open_extractive"]


def open_extractive(_url: str, *, embedder: TextEmbedder, analyzer: WordAnalyzer, **_: object) -> Extractive:
    """For `model = "extractive"`."""
    return Extractive(embedder, analyzer)
