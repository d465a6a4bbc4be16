"""A web service as tools, by its OpenAPI description: each operation that reads, and those others that are allowed.

Calls go to the server of the description, or the one that is named, and nowhere else: a model chooses values, each of
which is written as one path segment, query value, header or body. Credentials come from the environment; the model
never sees them, not even if the service repeats them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urljoin, urlsplit

from sourcebook.errors import ConfigError, ToolError
from sourcebook.loopback import is_loopback
from sourcebook.models.base import Tool
from sourcebook.prompt.tools.base import ToolResult, validator_of
from sourcebook.prompt.tools.openapi_description import Description, Operation, read_description
from sourcebook.prompt.tools.openapi_request import Request

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import ClientResponse, ClientSession

_MOST_DESCRIPTION = 20_000_000  # bytes
_MOST_ERROR = 2_000  # characters of an error's text
_REDIRECTS = 3
_MOST_TOOLS = 128  # that vendors take in one request
_TEXTS = ("text/", "json", "xml", "yaml", "javascript", "x-www-form-urlencoded")


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """Which service, and what of it is used.

    description: path or URL of its OpenAPI description. server: base URL, where the description names none, or one on
    another host than the one that it came from. prefix: put before the names of its tools.
    only: the operations that are offered, by operationId or as "GET /path"; None: all that read (GET).
    allow: operations of other methods that are offered as well, named in the same way.
    credentials: name of a security scheme in the description -> environment variable with the key or token, or
    "user:password" for basic authentication. most_bytes: of a reply. seconds: of a call.
    """

    description: str
    server: str = ""
    prefix: str = ""
    only: frozenset[str] | None = None
    allow: frozenset[str] = frozenset()
    credentials: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int = 1_000_000
    seconds: float = 30.0


class OpenApiTools:
    """A toolbox of a service's operations. Made by `open`; use it as an async context manager, or call `close`.

    left_out: operations that cannot be offered, with the reason.
    """

    def __init__(self, service: Service, description: Description) -> None:
        self._service = service
        self._schemes = description.schemes
        self._operations: dict[str, Operation] = {}
        self._secrets = _secrets(service, description)
        self._session: ClientSession | None = None
        self.left_out = dict(description.left_out)
        for one in _chosen(service, description):
            try:
                validator_of(one.tool)
            except ToolError as error:
                self.left_out[f"{one.method} {one.path}"] = str(error)
            else:
                self._operations[one.tool.name] = one
        if self._secrets:
            for one in self._operations.values():
                _must_be_private(one.server)

    @classmethod
    async def open(cls, service: Service) -> Self:
        """Read the description. Errors: ConfigError, ToolError."""
        remote = service.description.startswith(("http://", "https://"))
        text = await _fetched(service) if remote else await asyncio.to_thread(_file, service.description)
        where = service.description if remote else ""
        description = await asyncio.to_thread(
            read_description, text, where=where, server=service.server, prefix=service.prefix
        )
        made = await asyncio.to_thread(cls, service, description)
        if not made._operations:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(made.left_out.items())[:3])
            raise ConfigError(
                f"{service.description} has nothing that may be called{f' ({why})' if why else ''}",
                remedy="Name what is not GET: allow; and the base URL if it names none: server",
            )
        if len(made._operations) > _MOST_TOOLS:
            raise ConfigError(
                f"{service.description} has {len(made._operations)} operations, more than models take",
                remedy=f"Name up to {_MOST_TOOLS} that matter: only",
            )
        for one in made._operations.values():
            if remote and not service.server and urlsplit(one.server).netloc != urlsplit(where).netloc:
                raise ConfigError(
                    f"The description from {urlsplit(where).netloc} names the server {one.server}",
                    remedy="If that is right, name it yourself: server",
                )
        return made

    @property
    def tools(self) -> tuple[Tool, ...]:
        """One for each operation, in the description's order."""
        return tuple(one.tool for one in self._operations.values())

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Call the service. Errors: ToolError; a reply that is an error is a failed result."""
        operation = self._operations.get(name)
        if operation is None:
            raise ToolError(f"There is no operation {name!r}", remedy=f"There are: {', '.join(self._operations)}")
        request = Request.of(operation, json.loads(arguments or "{}"))
        self._sign(request, operation)
        from aiohttp import ClientError

        try:
            return await self._sent(request, operation)
        except (ClientError, OSError) as error:
            why = str(error) or type(error).__name__
            raise ToolError(f"{urlsplit(operation.server).netloc} cannot be reached: {self._scrubbed(why)}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _sent(self, request: Request, operation: Operation) -> ToolResult:
        from yarl import URL

        self._session = self._session or _session(self._service.seconds)
        url = request.url
        for _ in range(_REDIRECTS + 1):
            async with self._session.request(
                operation.method,
                URL(url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            ) as reply:
                if reply.status not in (301, 302, 303, 307, 308):
                    return await self._result(reply)
                url = urljoin(url, reply.headers.get("Location", ""))
                if operation.method != "GET" or not _within(url, operation.server):
                    place = self._scrubbed(url.partition("?")[0])
                    return ToolResult(text=f"HTTP {reply.status}: moved to {place}; not followed", failed=True)
        return ToolResult(text="The service sends the call in circles", failed=True)

    async def _result(self, reply: ClientResponse) -> ToolResult:
        most, data = self._service.most_bytes, bytearray()
        async for chunk in reply.content.iter_chunked(64 * 1024):
            data += chunk
            if len(data) > most:
                break
        text = _text(bytes(data[:most]), reply, whole=len(data) <= most)
        text = self._scrubbed(text)
        if reply.status >= 400:
            return ToolResult(text=f"HTTP {reply.status} {reply.reason or ''}: {text[:_MOST_ERROR]}", failed=True)
        if len(data) > most:
            return ToolResult(text=f"{text}\n[cut: the reply is longer than {most} bytes; ask for less]", cut=True)
        return ToolResult(text=text or f"HTTP {reply.status}: done; it returned nothing.")

    def _sign(self, request: Request, operation: Operation) -> None:
        """Add the credentials of the first alternative that we have all of; of none, only where there is no other."""
        for names in sorted(operation.security, key=lambda names: not names):
            if all(name in self._secrets for name in names):
                for name in names:
                    request.sign(self._schemes[name], self._secrets[name])
                return

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets.values():
            forms = (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode())
            for form in forms:
                text = text.replace(form, "***")
        return text


# --- settings -----------------------------------------------------------------------------------------------


def _chosen(service: Service, description: Description) -> Sequence[Operation]:
    """The operations that may be called. Errors: ConfigError if one is named that is not there."""
    named = (service.only or frozenset()) | service.allow
    keys = [(one, {one.name, one.tool.name, f"{one.method} {one.path}"}) for one in description.operations]
    if unknown := named.difference(*(names for _, names in keys)):
        why = [f"{name} ({description.left_out[name]})" if name in description.left_out else name for name in unknown]
        raise ConfigError(f"{service.description} has no operation {', '.join(sorted(why))}", remedy="Correct the name")
    return [
        one
        for one, names in keys
        if not names.isdisjoint(service.allow)
        or (one.method == "GET" and (service.only is None or not names.isdisjoint(service.only)))
    ]


def _secrets(service: Service, description: Description) -> dict[str, str]:
    """Scheme -> credential. Errors: ConfigError."""
    found: dict[str, str] = {}
    for scheme, variable in service.credentials.items():
        if scheme not in description.schemes:
            known = ", ".join(description.schemes) or "none"
            raise ConfigError(f"{service.description} has no security scheme {scheme!r}", remedy=f"It has: {known}")
        secret = os.environ.get(variable, "").strip()
        if not secret or not secret.isprintable():
            raise ConfigError(f"{variable} is not set", remedy=f"It holds the credential for {scheme}")
        found[scheme] = secret
    return found


def _must_be_private(server: str) -> None:
    parts = urlsplit(server)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigError(f"Credentials for {server} would be sent in the clear", remedy="Use https")


def _within(url: str, server: str) -> bool:
    """Whether the URL is the server's: same scheme, host and port, and below its path."""
    one, other = urlsplit(url), urlsplit(server)
    below = other.path.rstrip("/") + "/"
    return (one.scheme, one.netloc) == (other.scheme, other.netloc) and (one.path + "/").startswith(below)


# --- carrying -----------------------------------------------------------------------------------------------


def _session(seconds: float) -> ClientSession:
    import aiohttp

    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), cookie_jar=aiohttp.DummyCookieJar())


async def _fetched(service: Service) -> str:
    from aiohttp import ClientError

    try:
        async with _session(service.seconds) as session, session.get(service.description) as reply:
            reply.raise_for_status()
            data = bytearray()
            async for chunk in reply.content.iter_chunked(64 * 1024):
                data += chunk
                if len(data) > _MOST_DESCRIPTION:
                    raise ToolError(f"{service.description} is too large", remedy="Name a description of OpenAPI 3")
            return data.decode("utf-8", "replace")
    except (ClientError, OSError) as error:
        raise ToolError(f"{service.description} cannot be read: {error}", remedy="Check the address") from error


def _file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_MOST_DESCRIPTION)
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(f"{path} cannot be read: {error}", remedy="Check the path") from error


def _text(data: bytes, reply: ClientResponse, *, whole: bool) -> str:
    kind = reply.content_type
    if data and not any(part in kind for part in _TEXTS):
        return f"[{kind}, {len(data)} bytes; not shown]"
    try:
        text = data.decode(reply.charset or "utf-8", "replace")
    except LookupError:
        text = data.decode("utf-8", "replace")
    if "json" in kind and whole:
        try:
            return json.dumps(json.loads(text), ensure_ascii=False)  # without the space that it was printed with
        except (ValueError, RecursionError):
            return text
    return text
