"""A request's deadline, kept where a framework knows none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sourcebook.errors import DeadlineExceeded
from sourcebook.models.base import ModelRequest

T = TypeVar("T")


async def in_time(work: Awaitable[T], request: ModelRequest, *, name: str, provider: str, text: Callable[[], str]) -> T:
    """What the work gives. name, provider: of the model; text: of its reply so far. Errors: DeadlineExceeded."""
    left = None if request.deadline is None else max(0.0, request.deadline - time.monotonic())
    deadline = asyncio.timeout(left)
    try:
        async with deadline:
            return await work
    except TimeoutError as error:
        if not deadline.expired():
            raise
        message = f"{name} had not finished by the deadline"
        raise DeadlineExceeded(message, provider=provider, text=text()) from error
