"""The encrypted key store: keys of providers in one file that a passphrase opens.

The file is JSON: which providers have a key and how the passphrase becomes the file's key are open, and protected
against change; the keys themselves are AES-256-GCM (NIST SP 800-38D) under a key that scrypt (RFC 7914) makes of the
passphrase.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sourcebook.errors import ConfigError, MissingExtra, NotAuthorised

FILE = "keys.enc"
"""The key store, in the book's folder."""
PASSPHRASE = "SOURCEBOOK_KEY_PASSPHRASE"
"""The environment variable that holds its passphrase."""

_VERSION: Final = 1
_COST: Final = {"n": 2**17, "r": 8, "p": 1}  # 128 MB and about half a second, as OWASP recommends
_MOST_MEMORY: Final = 2**30  # bytes that a file may make us use


class KeyStore:
    """One such file, which need not exist yet. Of it only derived keys are kept between calls, and by which passphrase.

    Who writes it sees to it that nobody else does at the same time (`Keys`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """The providers that have a key, without any passphrase. Errors: ConfigError for a file that is damaged."""
        stored = self._read()
        return [] if stored is None else list(stored["names"])

    def get(self, provider: str, passphrase: str) -> str:
        """A provider's key. Errors: NotAuthorised for a wrong passphrase, KeyError, MissingExtra."""
        return self._opened(passphrase)[provider]

    def put(self, provider: str, key: str | None, passphrase: str) -> None:
        """Keep a key, or forget it if None. The first one decides the passphrase. Errors: as of `get`."""
        keys = {} if self._read() is None else self._opened(passphrase)
        if key is None:
            keys.pop(provider, None)
        else:
            keys[provider] = key
        self._write(keys, passphrase)

    def _opened(self, passphrase: str) -> dict[str, str]:
        cipher, broken = _cipher()
        stored = self._read()
        if stored is None:
            return {}
        damaged = ConfigError(f"{self._path} is damaged", remedy="Remove it and set the keys again")
        try:
            opened = cipher(_derived(passphrase, stored["salt"], stored["n"], stored["r"], stored["p"])).decrypt(
                base64.b64decode(stored["nonce"]), base64.b64decode(stored["sealed"]), _open_part(stored)
            )
        except broken as error:
            raise NotAuthorised(
                f"The passphrase does not open {self._path}, or the file was changed",
                remedy=f"Check {PASSPHRASE}; without it the keys are lost: remove the file and set them again",
            ) from error
        except ValueError:  # a nonce or text that is not in base64, or of no length that there is
            raise damaged from None
        keys: dict[str, str] = json.loads(opened)
        return keys

    def _write(self, keys: Mapping[str, str], passphrase: str) -> None:
        from sourcebook.models.keys import write_private

        if not passphrase:
            raise ConfigError("The passphrase of the key store is empty", remedy=f"Set {PASSPHRASE}")
        cipher, _ = _cipher()
        nonce = os.urandom(12)
        stored: dict[str, Any] = {
            "version": _VERSION,
            "names": sorted(keys),
            "salt": base64.b64encode(os.urandom(16)).decode(),
            **_COST,
            "nonce": base64.b64encode(nonce).decode(),
        }
        derived = _derived(passphrase, stored["salt"], stored["n"], stored["r"], stored["p"])
        sealed = cipher(derived).encrypt(nonce, json.dumps(dict(keys)).encode(), _open_part(stored))
        stored["sealed"] = base64.b64encode(sealed).decode()
        write_private(self._path, json.dumps(stored, indent=1).encode())

    def _read(self) -> dict[str, Any] | None:
        damaged = ConfigError(f"{self._path} is not a key store", remedy="Remove it and set the keys again")
        try:
            stored = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise damaged from None
        except OSError as error:
            message = f"{self._path} cannot be read: {error.strerror}"
            raise ConfigError(message, remedy="Check its permissions") from error
        wanted = {"version": int, "names": list, "salt": str, "n": int, "r": int, "p": int, "nonce": str, "sealed": str}
        if not isinstance(stored, dict) or any(type(stored.get(name)) is not kind for name, kind in wanted.items()):
            raise damaged
        if stored["version"] != _VERSION:
            raise ConfigError(f"{self._path} was written by a newer release", remedy="Upgrade sourcebook")
        if 128 * stored["n"] * stored["r"] * stored["p"] > _MOST_MEMORY:
            raise damaged
        return stored


def _open_part(stored: Mapping[str, Any]) -> bytes:
    """What of the file is not secret, but must not be changed either."""
    return json.dumps([stored[name] for name in ("version", "names", "salt", "n", "r", "p")]).encode()


@lru_cache(maxsize=4)
def _derived(passphrase: str, salt: str, n: int, r: int, p: int) -> bytes:
    """The file's key; kept, because making it takes half a second."""
    from hashlib import scrypt

    try:
        memory = 128 * n * r * p + 2**20
        return scrypt(passphrase.encode(), salt=base64.b64decode(salt), n=n, r=r, p=p, maxmem=memory, dklen=32)
    except ValueError as error:
        raise ConfigError("The key store is damaged", remedy="Remove it and set the keys again") from error


def _cipher() -> tuple[Any, type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtra.of("The encrypted key store", "keys") from error
    return AESGCM, InvalidTag
