from sourcebook.embed.hashing import Hashing
from sourcebook.embed.minilm import MiniLM
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.models.base import Model
from sourcebook.models.extractive import Extractive
from sourcebook.testing import ModelSuite


class TestExtractive(ModelSuite):
    def make(self) -> Model:
        return Extractive(MiniLM(), KeywordAnalyzer())


class TestExtractiveWithoutModelVectors(ModelSuite):
    def make(self) -> Model:
        return Extractive(Hashing(), KeywordAnalyzer())
