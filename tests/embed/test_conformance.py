from sourcebook.embed.base import Embedder
from sourcebook.embed.hashing import Hashing
from sourcebook.embed.minilm import MiniLM
from sourcebook.testing import EmbedderSuite


class TestHashing(EmbedderSuite):
    understands = False

    def make(self) -> Embedder:
        return Hashing()


class TestMiniLM(EmbedderSuite):
    def make(self) -> Embedder:
        return MiniLM()
