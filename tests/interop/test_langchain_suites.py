"""LangChain's own standard suites, run over our parts."""

import base64
from typing import Any

import httpx
import pytest

pytest.importorskip("langchain_tests")

from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import ChatModelIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from sourcebook import BlockingSourcebook
from sourcebook.interop.langchain import SourcebookChatModel, SourcebookRetriever
from tests.interop.conftest import a_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
]


PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


class TestUnits(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return SourcebookChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": a_model()}

    @property
    def supports_model_override(self) -> bool:
        return False  # another model is another object


class TestIntegration(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The suite fetches the picture that it shows."""
        answer = httpx.Response(200, content=PIXEL, request=httpx.Request("GET", "https://pictures.example"))
        monkeypatch.setattr(httpx, "get", lambda *_, **__: answer)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return SourcebookChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": a_model()}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return False

    supports_image_inputs = supports_image_urls
    supports_image_tool_message = supports_image_urls


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def the_book(self, book: BlockingSourcebook) -> None:
        self.book = book

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return SourcebookRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"book": self.book}

    @property
    def retriever_query_example(self) -> str:
        return "What is there on Gull Island?"
