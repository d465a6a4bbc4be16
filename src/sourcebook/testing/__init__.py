"""Conformance suites: what every source, embedder, index and model must do, as tests that an adapter inherits.

    from sourcebook.testing import IndexSuite

    class TestMyIndex(IndexSuite):
        def make(self, folder):
            return MyIndex(folder)

Each suite is a class of plain test methods, written without pytest and in need of no plugin of it; `make` gives a
fresh, empty part. A test that does not apply to a part raises `unittest.SkipTest`.
"""

from sourcebook.testing.embedder import EmbedderSuite
from sourcebook.testing.index import IndexSuite
from sourcebook.testing.model import ModelSuite, QuotingSuite
from sourcebook.testing.source import SourceSuite

__all__ = ["EmbedderSuite", "IndexSuite", "ModelSuite", "QuotingSuite", "SourceSuite"]
