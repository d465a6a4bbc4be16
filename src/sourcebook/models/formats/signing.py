"""AWS Signature, version 4, and the credentials it needs.

Sources: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html;
docs.aws.amazon.com/sdkref/latest/guide/file-format.html.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as BadFile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from sourcebook.errors import NotAuthorised
from sourcebook.models.wire import HttpCall

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset(("authorization", "user-agent", "expect", "connection", "transfer-encoding", "x-amzn-trace-id"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Who signs. session_token: of credentials that are lent for a time, else ""."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, key: str) -> Credentials | None:
        """Of a key that holds both parts, "ACCESS:SECRET" or "ACCESS:SECRET:SESSION"; None if it is another one."""
        access_key, _, rest = key.partition(":")
        secret_key, _, token = rest.partition(":")
        if not secret_key or not re.fullmatch(r"\w{4,128}", access_key):
            return None
        return cls(access_key=access_key, secret_key=secret_key, session_token=token)


def sign(call: HttpCall, credentials: Credentials, *, region: str, service: str, now: datetime) -> HttpCall:
    """The call with the headers that authorise it at this time, which is good for minutes."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(call.url)
    added = {"X-Amz-Date": stamp}
    if credentials.session_token:
        added["X-Amz-Security-Token"] = credentials.session_token
    headers = {**call.headers, **added}
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed = {name: value for name, value in signed.items() if name not in _UNSIGNED} | {"host": _host(call.url)}
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        (
            call.method,
            quote(parts.path or "/", safe="/-_.~"),  # what is encoded already is encoded once more
            _query(parts.query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(call.body).hexdigest(),
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    said = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _keyed(key, part)
    signature = _keyed(key, said).hex()
    authorised = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return replace(call, headers={**headers, "Authorization": authorised})


def _keyed(key: bytes, said: str) -> bytes:
    return hmac.new(key, said.encode(), hashlib.sha256).digest()


def _host(url: str) -> str:
    """As HTTP clients send it: without the port that goes without saying."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def _query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs))


# --- the files of AWS's own tools ---------------------------------------------------------------------------


class Profile:
    """A named profile of the shared files; they are read again when they have changed.

    environment: where AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE and AWS_PROFILE are looked up.
    Profiles with an access key are understood; those that sign in (SSO), assume roles or run a program are not.
    """

    def __init__(self, name: str = "", environment: Mapping[str, str] | None = None) -> None:
        known = os.environ if environment is None else environment
        self.name = name or known.get("AWS_PROFILE") or known.get("AWS_DEFAULT_PROFILE") or "default"
        folder = Path(known.get("HOME") or Path.home()) / ".aws"
        self._files = (
            Path(known.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials").expanduser(),
            Path(known.get("AWS_CONFIG_FILE") or folder / "config").expanduser(),
        )
        self._stamps: tuple[int, ...] | None = None
        self._fields: dict[str, str] = {}

    @property
    def region(self) -> str:
        """Where the profile's calls go, or "" if it does not say."""
        return self._read().get("region", "")

    def credentials(self) -> Credentials:
        """Errors: NotAuthorised, if the profile has none that are simple."""
        fields = self._read()
        access_key, secret_key = fields.get("aws_access_key_id"), fields.get("aws_secret_access_key")
        if not access_key or not secret_key:
            known = "it needs a program or a sign-in" if fields else "there is no such profile"
            raise NotAuthorised(
                f"No AWS credentials in the profile {self.name!r}: {known}",
                remedy="Set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
                "`aws configure export-credentials --format env` prints them",
            )
        token = fields.get("aws_session_token", "")
        return Credentials(access_key=access_key, secret_key=secret_key, session_token=token)

    def _read(self) -> dict[str, str]:
        stamps = tuple(_changed(file) for file in self._files)
        if stamps != self._stamps:
            credentials, config = self._files
            named = "default" if self.name == "default" else f"profile {self.name}"
            self._fields = _section(config, named) | _section(credentials, self.name)
            self._stamps = stamps
        return self._fields


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _section(file: Path, name: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, default_section="")
    try:
        parser.read(file, encoding="utf-8")
    except (BadFile, OSError, UnicodeDecodeError):
        return {}
    return dict(parser[name]) if parser.has_section(name) else {}
