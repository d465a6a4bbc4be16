"""The `extractive` model: answers made of the documents' own sentences, or none at all.

    question, hits -> evidence (cut into sentences) -> features (a row of numbers a sentence)
                   -> judge (how likely each answers; whether any does) -> the best sentences, each cited
"""

from sourcebook.models.extractive.model import Extractive, TextEmbedder, TokenEmbedder, WordAnalyzer

__all__ = ["Extractive", "TextEmbedder", "TokenEmbedder", "WordAnalyzer"]
