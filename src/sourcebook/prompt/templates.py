"""Versioned prompt templates: the package's own, and the user's in HOME/prompts/NAME.j2, which come first.

A file is a front matter in TOML and a text in Jinja (`sandbox` says what it may do):

    +++
    version = "1"
    description = "What it is for"
    [variables.question]
    type = "text"                        # see KINDS
    description = "What is asked"
    [variables.words]
    type = "integer"
    default = 120                        # a variable with a default may be left out
    +++
    {% system %}Answer in {{ words }} words.{% endsystem %}
    {% user %}{{ question }}{% enduser %}

A text may `{% include "pieces/citing" %}` or extend another template; "sourcebook/NAME" is the package's own even
where the user has one of that name. Pieces declare their variables too; they become the template's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from sourcebook.errors import PromptError
from sourcebook.prompt.variables import KINDS, Variable, declared, taken

if TYPE_CHECKING:
    import jinja2

    from sourcebook.models.base import Message
    from sourcebook.prompt.sandbox import Sandbox

FOLDER: Final = "prompts"  # of the book
PACKAGED: Final = "sourcebook/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A template, ready to be rendered.

    version: what an answer's record calls it: name, declared version, and a hash of its text and of all its pieces.
    answer_tag: the reply's answer stands between <answer_tag> and </answer_tag>; "": all of it is the answer.
    """

    name: str
    version: str
    description: str
    variables: Mapping[str, Variable]
    answer_tag: str = ""
    _compiled: jinja2.Template = field(repr=False)

    def messages(self, **variables: object) -> tuple[Message, ...]:
        """The prompt. Errors: PromptError, which names the template and the variable, and what to do."""
        from sourcebook.prompt.sandbox import render

        given = {name: self._checked(name, value) for name, value in variables.items()}
        missing = [one.name for one in self.variables.values() if one.required and one.name not in given]
        if missing:
            raise PromptError(
                f"The template {self.name!r} needs the variable {missing[0]!r}",
                remedy=f"Give {', '.join(missing)}" if len(missing) > 1 else f"Give it {self._kind(missing[0])}",
            )
        values = {one.name: one.default for one in self.variables.values() if not one.required} | given
        with _Explained(self.name):
            messages, outside = render(self._compiled, values)
        if outside:
            raise PromptError(
                f"The template {self.name!r} has text outside of its messages: {outside[:60]!r}",
                remedy="Put it between {% system %} and {% endsystem %}, or likewise for user or assistant",
            )
        if not messages:
            raise PromptError(f"The template {self.name!r} makes no message", remedy="Write at least a user message")
        return tuple(messages)

    def _checked(self, name: str, value: object) -> object:
        if name not in self.variables:
            known = ", ".join(self.variables) or "none"
            raise PromptError(
                f"The template {self.name!r} has no variable {name!r}",
                remedy=f"It has: {known}. Declare {name} in its front matter, or leave it out",
            )
        try:
            return taken(value, self.variables[name].kind)
        except TypeError as error:
            raise PromptError(
                f"The variable {name!r} of the template {self.name!r} must be {self._kind(name)}, not {error}",
                remedy="Correct the value, or the type in the front matter",
            ) from error

    def _kind(self, name: str) -> str:
        return KINDS[self.variables[name].kind]


def load(name: str, home: Path | None = None) -> Template:
    """The template of this name: the user's in HOME/prompts, else the package's.

    home: the book's folder; None: only the package's templates. Errors: PromptError if there is none of the name,
    or if it is not valid.
    """
    sources: dict[str, str] = {}
    _gather(name, home, sources, ())
    return _template(name, tuple(sorted(sources.items())))


def names(home: Path | None = None) -> tuple[str, ...]:
    """The templates that there are, pieces left out, in alphabetical order."""
    folders = [_PACKAGE, *([home / FOLDER] if home else [])]
    return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.j2")}))


# --- from files to a template -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parsed:
    """One file. body: its text, a comment as long in the place of the front matter, for line numbers."""

    head: Mapping[str, Any]
    body: str
    pieces: tuple[str, ...]
    uses: frozenset[str]


def _gather(name: str, home: Path | None, sources: dict[str, str], above: tuple[str, ...]) -> None:
    """Add the text of a template, and of all that it includes, to the sources."""
    if name in above:
        raise PromptError(
            f"The template {name!r} includes itself", remedy=f'To add to the package\'s own, use "{PACKAGED}{name}"'
        )
    if name not in sources:
        sources[name] = _read(name, home, above)
    for piece in _parsed(name, sources[name]).pieces:
        _gather(piece, home, sources, (*above, name))


def _read(name: str, home: Path | None, above: tuple[str, ...]) -> str:
    asked = f" (included by {above[-1]!r})" if above else ""
    if not _NAME.fullmatch(name):
        raise PromptError(
            f"{name!r} is not a name for a template{asked}", remedy="Use letters, digits, - and _, and / for folders"
        )
    places = [_PACKAGE / f"{name.removeprefix(PACKAGED)}.j2"]
    if home is not None and not name.startswith(PACKAGED):
        places.insert(0, home / FOLDER / f"{name}.j2")
    for place in places:
        try:
            data = place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise PromptError(f"{place} cannot be read: {error.strerror}", remedy="Check its permissions") from error
        if len(data) > _LARGEST:
            raise PromptError(f"{place} is larger than {_LARGEST} bytes", remedy="Put long texts into variables")
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise PromptError(f"{place} is not UTF-8: {error.reason}", remedy="Save it as UTF-8") from error
    raise PromptError(
        f"There is no template {name!r}{asked}",
        remedy=f"There are: {', '.join(names(home))}" + (f". Write {places[0]}" if len(places) > 1 else ""),
    )


@lru_cache(maxsize=256)
def _parsed(name: str, text: str) -> _Parsed:
    from jinja2 import meta

    found = _FRONT_MATTER.match(text)
    if found is None:
        raise PromptError(
            f"The template {name!r} has no front matter",
            remedy='Begin it with a line +++, settings in TOML such as version = "1", and a line +++',
        )
    try:
        head = tomllib.loads(found[1])
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"The front matter of {name!r} is not valid TOML: {error}", remedy="Correct it") from error
    body = "{#" + "\n" * found[0].count("\n") + "-#}" + text[found.end() :]
    with _Explained(name):
        tree = _bare().parse(body)
        pieces = list(meta.find_referenced_templates(tree))
        uses = frozenset(meta.find_undeclared_variables(tree)) - set(_bare().globals)
    if None in pieces:
        raise PromptError(
            f"The template {name!r} computes the name of a piece", remedy="Write the name out: its text is versioned"
        )
    return _Parsed(head=head, body=body, pieces=tuple(str(piece) for piece in pieces), uses=uses)


@lru_cache(maxsize=64)
def _template(name: str, sources: tuple[tuple[str, str], ...]) -> Template:
    from sourcebook.prompt.sandbox import Sandbox

    files = {one: _parsed(one, text) for one, text in sources}
    own = files[name]
    version, description, tag = (_setting(name, own.head, key) for key in ("version", "description", "answer_tag"))
    if not version:
        raise PromptError(f"The template {name!r} declares no version", remedy='Add version = "1" to its front matter')
    unknown = sorted(set(own.head) - {"version", "description", "answer_tag", "variables"})
    if unknown:
        raise PromptError(
            f"The front matter of {name!r} has an unknown setting {unknown[0]!r}",
            remedy="Known: version, description, answer_tag, variables",
        )
    variables: dict[str, Variable] = {}
    for one in [name, *(other for other in files if other != name)]:
        for variable in declared(one, files[one].head):
            variables.setdefault(variable.name, variable)
    for one, file in files.items():
        if undeclared := sorted(file.uses - set(variables)):
            raise PromptError(
                f"The template {one!r} uses the variable {undeclared[0]!r}, which it does not declare",
                remedy=f"Add [variables.{undeclared[0]}] to its front matter, or correct the name",
            )
    if tag and not _TAG.fullmatch(tag):
        raise PromptError(f"The template {name!r} has the answer_tag {tag!r}", remedy="Use a word in small letters")
    digest = blake2b("\0".join(f"{one}\0{text}" for one, text in sources).encode(), digest_size=6).hexdigest()
    bodies = {one: file.body for one, file in files.items()}
    with _Explained(name):
        compiled = Sandbox(bodies.get).get_template(name)
    return Template(
        name=name,
        version=f"{name}@{version}+{digest}",
        description=description,
        variables=variables,
        answer_tag=tag,
        _compiled=compiled,
    )


def _setting(name: str, head: Mapping[str, Any], key: str) -> str:
    value = head.get(key, "")
    if not isinstance(value, str):
        raise PromptError(f"{key} in the front matter of {name!r} must be a text", remedy=f'Write {key} = "{value}"')
    return value


@cache
def _bare() -> Sandbox:
    from sourcebook.prompt.sandbox import Sandbox

    return Sandbox(dict[str, str]().get)


class _Explained:
    """Whatever goes wrong inside is a PromptError that names the template, and the line where it is known."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(error, Exception) or isinstance(error, PromptError):
            return
        line = getattr(error, "lineno", None)
        for frame, number in walk_tb(trace):
            if "__jinja_exception__" in frame.f_globals:  # Jinja has put the template's own lines there
                line = number
        at = f", line {line}" if line else ""
        raise PromptError(
            f"The template {getattr(error, 'name', None) or self._name!r}{at}: {error}",
            remedy="Correct the template; docs/prompts.md says what it may do",
        ) from error


_PACKAGE: Final = Path(__file__).with_name("templates")
_LARGEST: Final = 65_536
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_TAG: Final = re.compile(r"[a-z]+")
_FRONT_MATTER: Final = re.compile(r"\+\+\+[^\S\n]*\n(.*?\n|)\+\+\+[^\S\n]*(?:\n|\Z)", re.DOTALL)
