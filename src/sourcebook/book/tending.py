"""Conversations are tended after their answers: summaries carried on, facts learned, while users read."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sourcebook.errors import SourcebookError

if TYPE_CHECKING:
    from sourcebook.book.book import Sourcebook
    from sourcebook.types import Question

_log = logging.getLogger(__name__)


class Tending:
    """One task a conversation at most; a turn that ends while it runs has it go round once more."""

    def __init__(self, book: Sourcebook) -> None:
        self._book = book
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, Question] = {}

    def later(self, question: Question) -> None:
        """Tend the conversation of a question that has just been answered."""
        name = question.conversation
        assert name is not None
        if name in self._tasks:
            self._again[name] = question
        else:
            self._tasks[name] = asyncio.create_task(self._tend(name, question))

    @property
    def busy(self) -> bool:
        """Whether a conversation is being tended."""
        return bool(self._tasks)

    async def finish(self, *, seconds: float | None = None) -> None:
        """Let it end, within so many seconds if given; it can be stopped at any moment, and goes on another time."""
        tasks = list(self._tasks.values())
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tend(self, name: str, question: Question) -> None:
        from sourcebook.prompt.memory import tend

        book = self._book
        try:
            while True:
                try:
                    done = await tend(
                        book.catalog,
                        name,
                        question.scope,
                        model=book.model,
                        embedder=book.embedder,
                        words=book.analyzer.words,
                        settings=book.config.memory,
                        account=question.account,
                        home=book.home,
                    )
                    for note in done.notes:
                        _log.info("Conversation %s: %s", name, note)
                except SourcebookError as error:
                    _log.info("Conversation %s is tended another time: %s", name, error)
                following = self._again.pop(name, None)
                if following is None:
                    return
                question = following
        except Exception:
            _log.exception("Tending conversation %s failed", name)
        finally:
            self._again.pop(name, None)
            del self._tasks[name]
