"""What a wire format is: pure functions between our requests and events and a vendor's bytes.

`http.py` carries the bytes. Because a format never touches the network, a call can be replayed byte for byte, and
a recorded reply can be cut or fed at every byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sourcebook.errors import InvalidReply, ModelError
from sourcebook.models.base import Capabilities, ModelEvent, ModelRequest
from sourcebook.types import Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where a model is served. provider: for messages and prices. base: URL without a slash at its end.

    headers: sent with every call, besides those of the format. options: of the model's URL ("region", ...).
    """

    provider: str
    base: str
    model: str
    key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpCall:
    """One HTTP request, whole. headers hold the key: they are never shown, kept or logged.

    delay: seconds to wait before it is sent. optional: the reply is whole without it, should it fail.
    """

    method: str = "POST"
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    delay: float = 0.0
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One message within a reply. event: its type where the framing names one, else ""."""

    data: str
    event: str = ""


class Framing(Protocol):
    """Bytes as they come -> the frames that are complete. An incomplete frame at the end is dropped."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        ...


class Reader(Protocol):
    """The reply to one request, frame by frame. It keeps the state of that one reply."""

    @property
    def usage(self) -> Usage:
        """What the vendor has reported of this reply so far; `Usage()` until it has."""
        ...

    def framing(self, content_type: str) -> Framing:
        """How a reply of this media type is cut into frames."""
        ...

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """What a frame says; Finish when the reply has ended. Errors: ModelError that the vendor sent, InvalidReply."""
        ...

    def end(self) -> Iterable[ModelEvent]:
        """The bytes are over: Finish if the vendor had said why it stopped, else nothing, and the reply is cut off."""
        ...

    def next_call(self) -> HttpCall | None:
        """A further call that the reply needs, once the bytes of the one before are over (a result to be fetched)."""
        ...

    def cancelling_call(self) -> HttpCall | None:
        """The call that stops the work at the vendor, where closing the connection does not."""
        ...


class WireFormat(Protocol):
    """A vendor's way of asking and answering, for one target."""

    @property
    def capabilities(self) -> Capabilities:
        """What the format and the server can do."""
        ...

    def call(self, request: ModelRequest) -> HttpCall:
        """The request's exact bytes: equal requests give equal bytes. Errors: InvalidRequest."""
        ...

    def reader(self, request: ModelRequest) -> Reader:
        """For the reply to this request."""
        ...

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """What an HTTP error reply means. headers: names in lower case."""
        ...


class OneCall:
    """Base of the readers of a reply that comes whole with one call, which closing the connection ends.

    usage: what the vendor has reported so far, for readers that hear of it before the end.
    """

    usage: Usage = Usage()

    def next_call(self) -> HttpCall | None:
        """None: the reply needs no further call."""
        return None

    def cancelling_call(self) -> HttpCall | None:
        """None: closing the connection is enough."""
        return None


# --- what formats share ---------------------------------------------------------------------------------------


def json_headers(target: Target, *, key_header: str = "Authorization", **more: str) -> dict[str, str]:
    """The headers of a call with a JSON body; the key is a bearer token in "Authorization", and bare elsewhere."""
    key = {key_header: f"Bearer {target.key}" if key_header == "Authorization" else target.key} if target.key else {}
    return {"Content-Type": "application/json", **more, **key, **target.headers}


def to_json(value: object) -> bytes:
    """JSON, compact, in UTF-8. Equal values give equal bytes, if their keys come in the same order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def from_json(text: str | bytes, provider: str) -> dict[str, Any]:
    """A JSON object of a reply. Errors: InvalidReply."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidReply(f"{provider} sent what is not JSON: {text[:200]!r}", provider=provider) from error
    if not isinstance(value, dict):
        raise InvalidReply(f"{provider} sent {text[:200]!r} where an object was due", provider=provider)
    return value


def said(body: bytes, provider: str, *, otherwise: str = "error") -> dict[str, Any]:
    """The JSON object that an error reply consists of; whatever else it is stands, cut short, under `otherwise`."""
    try:
        return from_json(body, provider)
    except InvalidReply:
        return {otherwise: body.decode("utf-8", "replace")[:500]}
