"""Conformance suites: what every source, embedder, index and model must do, as tests that an adapter inherits.

    from sourcebook.testing import IndexSuite

    class TestMyIndex(IndexSuite):
        def make(self, folder):
            return MyIndex(folder)

Each suite is a class of plain pytest test methods; `make` gives a fresh, empty part. No plugin is needed.
"""

from sourcebook.testing.embedder import EmbedderSuite
from sourcebook.testing.index import IndexSuite
from sourcebook.testing.model import ModelSuite
from sourcebook.testing.source import SourceSuite

__all__ = ["EmbedderSuite", "IndexSuite", "ModelSuite", "SourceSuite"]
