"""Where keys of providers come from: the environment, a key file, or the encrypted key store. Never from a setting.

    environment   the variable that the model's URL names (key_env), else those that the vendor's users know
    key file      keys.toml in the book's folder: provider = "key"; only its owner may read it
    key store     keys.enc in the book's folder, opened by a passphrase

A key is shown nowhere: not in errors, not in the representation of an object, not in a record.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sourcebook.errors import ConfigError, NotAuthorised
from sourcebook.models.keystore import FILE as STORE_FILE
from sourcebook.models.keystore import PASSPHRASE, KeyStore

FILE = "keys.toml"
"""The key file, in the book's folder."""
_WAIT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPlace:
    """That there is a key, and where. place: "environment NAME", "keys.toml" or "keys.enc"."""

    provider: str
    place: str


class Keys:
    """The keys within reach of a book.

    home: the book's folder; None: the environment only. environment: in place of the process's. ask: gets the
    passphrase of the key store from a person, where the environment has none.
    """

    def __init__(
        self,
        home: Path | None,
        *,
        environment: Mapping[str, str] | None = None,
        ask: Callable[[str], str] | None = None,
    ) -> None:
        self._home = home
        self._environment = os.environ if environment is None else environment
        self._ask = ask

    def find(self, provider: str, variables: Sequence[str] = (), *, key_env: str = "", kept_as: str = "") -> str | None:
        """The provider's key, or None.

        variables: alternatives; "A:B:C?" are variables whose values are joined by colons, C only if it is set.
        kept_as: the provider whose kept key serves where this one has none.
        key_env: the one variable that counts, and nothing else. Errors: ConfigError (a key file that others may read,
        a key that is none), NotAuthorised (key_env is not set; the key store does not open).
        """
        if key_env:
            found = self._from_environment(key_env)
            if found is None:
                raise NotAuthorised(
                    f"There is no key for {provider}: the environment variable {key_env} is not set",
                    remedy=f"Set {key_env}",
                    provider=provider,
                )
            return found
        for name in variables:
            if found := self._from_environment(name):
                return found
        if self._home is None:
            return None
        written, store = self._written(), self.store()
        stored = store.names()
        for name in filter(None, (provider, kept_as)):
            if name in written:
                return _checked(written[name], f"{self._home / FILE}: {name}")
            if name in stored:
                return store.get(name, self._passphrase(name))
        return None

    def need(self, provider: str, variables: Sequence[str] = (), *, key_env: str = "", kept_as: str = "") -> str:
        """The provider's key. Errors: NotAuthorised, which names what to set."""
        found = self.find(provider, variables, key_env=key_env, kept_as=kept_as)
        if found is not None:
            return found
        plain = [name.replace("?", "").replace(":", ", ") for name in variables]
        remedy = f"Run: sourcebook key set {provider}"
        if plain:
            remedy = f"Set {' or '.join(plain)} in the environment, or run: sourcebook key set {provider}"
        raise NotAuthorised(f"There is no key for {provider}", remedy=remedy, provider=provider)

    def places(self, variables: Mapping[str, Sequence[str]]) -> list[KeyPlace]:
        """Which keys there are, the first place of each that `find` would take. variables: provider -> alternatives."""
        found: dict[str, str] = {}
        for provider, names in variables.items():
            for name in names:
                if self._from_environment(name):
                    found.setdefault(provider, f"environment {name.replace('?', '')}")
        if self._home is not None:
            for provider in self._written():
                found.setdefault(provider, FILE)
            for provider in self.store().names():
                found.setdefault(provider, STORE_FILE)
        return [KeyPlace(provider=provider, place=place) for provider, place in sorted(found.items())]

    def write(self, provider: str, key: str) -> Path:
        """Keep a key in the key file. Gives the file. Errors: ConfigError."""
        key = _checked(key, f"The key for {provider}")
        with self._alone():
            path = self._write(self._written() | {provider: key})
        ignoring = path.with_name(".gitignore")
        if not ignoring.exists():  # a book may stand in a repository
            ignoring.write_text(f"/{FILE}\n", encoding="utf-8")
        return path

    def encrypt(self, provider: str, key: str, passphrase: str) -> Path:
        """Keep a key in the key store, and no longer in the key file. Gives the store's file.

        Errors: NotAuthorised for a wrong passphrase, MissingExtra.
        """
        key = _checked(key, f"The key for {provider}")
        with self._alone():
            self.store().put(provider, key, passphrase)
            self._forget(provider)
        return self._folder() / STORE_FILE

    def remove(self, provider: str, *, passphrase: Callable[[], str] | None = None) -> list[str]:
        """Forget a provider's keys. Gives the files that had one; `passphrase` is asked for the store's."""
        with self._alone():
            files = [FILE] if self._forget(provider) else []
        if provider in self.store().names():
            said = passphrase() if passphrase else self._passphrase(provider)
            with self._alone():
                self.store().put(provider, None, said)
            files.append(STORE_FILE)
        return files

    def store(self) -> KeyStore:
        """The key store of this book."""
        return KeyStore(self._folder() / STORE_FILE)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the files meanwhile: what they hold is read, changed and written as a whole."""
        from filelock import FileLock, Timeout

        folder = self._folder()
        lock = FileLock(folder / "keys.lock", timeout=_WAIT_SECONDS, is_singleton=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise ConfigError(f"Somebody else is changing the keys in {folder}", remedy="Try again") from error
        except OSError as error:
            raise ConfigError(
                f"{folder} cannot be written: {error.strerror}", remedy="Check its permissions"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _folder(self) -> Path:
        if self._home is None:
            raise ConfigError("There is no book whose keys these could be", remedy="Run: sourcebook init")
        return self._home

    def _from_environment(self, names: str) -> str | None:
        values = []
        for name in names.split(":"):
            value = self._environment.get(name.removesuffix("?"), "").strip()
            if value:
                values.append(value)
            elif not name.endswith("?"):
                return None
        return _checked(":".join(values), f"The environment variable {names}") if values else None

    def _passphrase(self, provider: str) -> str:
        if found := self._environment.get(PASSPHRASE):
            return found
        if self._ask is not None:
            return self._ask("Passphrase of the key store: ")
        raise NotAuthorised(
            f"The key for {provider} is in the encrypted key store",
            remedy=f"Set {PASSPHRASE} in the environment",
            provider=provider,
        )

    # --- the key file -----------------------------------------------------------------------------------------

    def _written(self) -> dict[str, str]:
        import tomllib

        path = self._folder() / FILE
        try:
            with path.open("rb") as file:
                _refuse_open(path, os.fstat(file.fileno()))
                written = tomllib.load(file)
        except FileNotFoundError:
            return {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            where = re.sub(r".*(\(at .*\))", r"\1", str(error)) if "(at " in str(error) else ""
            raise ConfigError(f"{path} is not valid TOML {where}".rstrip(), remedy='Write: provider = "key"') from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="Check its permissions") from error
        for provider, key in written.items():
            if not isinstance(key, str):
                raise ConfigError(f"{path}: {provider} is not a text", remedy=f'Write: {provider} = "key"')
        return written

    def _forget(self, provider: str) -> bool:
        """Take a key out of the key file, if there is one."""
        written = self._written()
        if provider not in written:
            return False
        self._write({name: key for name, key in written.items() if name != provider})
        return True

    def _write(self, written: Mapping[str, str]) -> Path:
        import json

        lines = ["# Keys of providers. Only its owner may read this file; `sourcebook key` writes it.\n"]
        for provider, key in sorted(written.items()):
            name = provider if re.fullmatch(r"[A-Za-z0-9_-]+", provider) else json.dumps(provider)
            lines.append(f"{name} = {json.dumps(key)}\n")
        return write_private(self._folder() / FILE, "".join(lines).encode())


def write_private(path: Path, content: bytes) -> Path:
    """Write a file that only its owner may read, all at once: nobody ever sees half of it, or one that is open."""
    from tempfile import mkstemp

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", remedy="Check its permissions") from error
    return path


def _refuse_open(path: Path, status: os.stat_result) -> None:
    """Refuse a key file that others may read or that is another's. Windows keeps its permissions elsewhere."""
    if os.name != "posix":
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path} belongs to somebody else", remedy=f"Remove it, or run: chown $USER '{path}'")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{path} holds keys and others may read it (mode {mode:o})", remedy=f"Run: chmod 600 '{path}'"
        )


def _checked(key: str, where: str) -> str:
    """The key, if it can stand in a header."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(f"{where} is not a key: it is empty, or has characters that keys do not have")
    return key


# --- keys where none may be ---------------------------------------------------------------------------------------

_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}|(?:gsk|hf|r8|fw|sk|rpa|xai|nvapi|csk|pplx|tgp_v1|anyscale|AIza|ghp)[-_]?"
    r"[A-Za-z0-9][A-Za-z0-9_-]{23,}|(?:AKIA|ASIA)[A-Z0-9]{16}|dapi[0-9a-f]{32}|eyJ[\w-]{20,}\.[\w-]{10,}\.[\w-]*"
    r"|[Bb]earer +\S{8,})"
)


def looks_like_key(text: str) -> bool:
    """Whether a vendor's key seems to stand in a text, by the marks that vendors put into theirs."""
    return any(_mixed(found[0]) for found in _KEYS.finditer(text))


def refuse_keys(settings: Mapping[str, object], where: str) -> None:
    """Refuse settings with a key in them. Errors: ConfigError, which names the setting and not the key."""
    for name, value in _texts(settings, ""):
        if looks_like_key(value):
            raise ConfigError(
                f"{where}: {name} holds what looks like a key",
                remedy="Take it out, have the vendor replace it if others have seen the file, and run: "
                "sourcebook key set PROVIDER",
            )


def _texts(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence):
        for one in value:
            yield from _texts(one, name)


def _mixed(text: str) -> bool:
    """Keys have digits and letters by chance; names of models are words with a few digits between hyphens."""
    runs = re.findall(r"[A-Za-z0-9]{16,}", text)
    return any(any(map(str.isdigit, one)) and any(map(str.isalpha, one)) for one in runs) or " " in text
