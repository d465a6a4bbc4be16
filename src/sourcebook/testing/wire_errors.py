"""The part of the suite for wire formats that is about errors: each of the vendor's is one of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sourcebook.errors import (
    Interrupted,
    InvalidRequest,
    ModelError,
    NotAuthorised,
    RateLimited,
    Transient,
    Unavailable,
)
from sourcebook.models.base import complete
from sourcebook.testing.doubles import REQUEST_ID, Fault
from sourcebook.testing.wire_case import ASKED, WireCase


class WireErrors(WireCase):
    """Errors before a reply, within it, and in place of one."""

    @pytest.mark.asyncio
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_every_error(self, streamed: bool) -> None:
        for kind in self.errors:
            async with self.both(Fault(error=kind)) as (_, model):
                with pytest.raises(ModelError) as caught:
                    await complete(model, replace(ASKED, streamed=streamed))
            assert type(caught.value) is kind
            assert caught.value.transient == issubclass(kind, Transient)
            assert caught.value.provider == "vendor"
            assert caught.value.request_id == REQUEST_ID
            assert caught.value.remedy
            assert caught.value.status >= 400

    @pytest.mark.asyncio
    async def test_how_long_to_wait(self) -> None:
        async with self.both(Fault(error=RateLimited, retry_after=7)) as (_, model):
            with pytest.raises(RateLimited) as caught:
                await complete(model, ASKED)
        assert caught.value.retry_after == (7.0 if self.waits else None)

    @pytest.mark.asyncio
    async def test_errors_within_a_stream(self) -> None:
        for kind in self.in_stream:
            fault = Fault(error=kind, after=2)
            async with self.both(fault) as (double, model):
                with pytest.raises(ModelError) as caught:
                    await complete(model, ASKED)
                told = double.fault_event(fault) is not None
            assert type(caught.value) is (kind if told else Interrupted)
            assert caught.value.text == "The lighthouse was built"

    @pytest.mark.asyncio
    async def test_a_wrong_key_is_not_shown(self) -> None:
        key = "wrong-key-that-nobody-may-see"
        async with self.both(key=key) as (_, model):
            with pytest.raises(NotAuthorised) as caught:
                await complete(model, ASKED)
        assert key not in str(caught.value)
        call = model.wire.call(ASKED)
        assert key not in repr((caught.value, call, self.target("http://x", key)))

    @pytest.mark.asyncio
    async def test_nobody_there(self) -> None:
        async with self.double() as double:
            url = double.url
        model = self.make(url, "key")
        with pytest.raises(Unavailable):
            await complete(model, ASKED)
        await model.close()

    @pytest.mark.parametrize(
        "body",
        [b"<html>Bad gateway</html>", b"", b"[]", b"null", b'{"error": 7}', b"\xff\xfe", b"[" * 100_000],
        ids=["html", "nothing", "list", "null", "number", "bytes", "brackets"],
    )
    def test_errors_that_are_not_the_vendors(self, body: bytes) -> None:
        for status, kind in ((502, Unavailable), (429, RateLimited), (401, NotAuthorised), (302, InvalidRequest)):
            assert type(self.nowhere().failure(status, {}, body)) is kind
