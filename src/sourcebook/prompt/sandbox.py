"""Where templates run: Jinja without files, without attributes that start with _, and with an end.

A template is written by the user or sent by a tenant, so it may be wrong or hostile. It sees texts, numbers and
lists of them, a few filters, and its own pieces; every loop, call and output is counted against a limit. Imported
when the first template is loaded, because Jinja is.

    {% system %} ... {% endsystem %}        one message; likewise user and assistant
    {% message turn.role %} ... {% endmessage %}
    {% system keep %}                       the prompt up to here comes again: a vendor may cache it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from sourcebook.models.base import Message

MAX_STEPS: Final = 100_000  # turns of loops and calls of one rendering
MAX_CHARACTERS: Final = 20_000_000  # made by one rendering, output and parts together
MAX_SECONDS: Final = 5.0  # a last resort: the other two limits are the same on every machine


class Exceeded(Exception):
    """A rendering is past a limit; the message says which."""


@dataclass(slots=True)
class Rendering:
    """What one rendering has made and spent so far. inside: whether a message is being written."""

    messages: list[Message] = field(default_factory=list)
    steps: int = 0
    characters: int = 0
    inside: bool = False
    deadline: float = field(default_factory=lambda: monotonic() + MAX_SECONDS)

    def step(self) -> None:
        """Count a turn of a loop, or a call."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Exceeded(f"it takes more than {MAX_STEPS} steps")
        if not self.steps & 63 and monotonic() > self.deadline:
            raise Exceeded(f"it takes more than {MAX_SECONDS:g} seconds")

    def put(self, characters: int) -> None:
        """Count what is made."""
        self.characters += characters
        if self.characters > MAX_CHARACTERS:
            raise Exceeded(f"it makes more than {MAX_CHARACTERS} characters")


_current: ContextVar[Rendering | None] = ContextVar("rendering", default=None)


def render(template: jinja2.Template, variables: dict[str, object]) -> tuple[list[Message], str]:
    """The messages of a template, and what it wrote outside of them. Errors: jinja2.TemplateError, Exceeded, others."""
    rendering = Rendering()
    before = _current.set(rendering)
    try:
        outside = template.render(variables)
    finally:
        _current.reset(before)
    return rendering.messages, outside.strip()


def _rendering() -> Rendering:
    return _current.get() or Rendering()  # constant parts are computed when the template is compiled


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates. load: the text of a piece by its name, or None."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, load: Callable[[str], str | None]) -> None:
        super().__init__(
            autoescape=False,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=_finalised,
            extensions=[Roles],
            loader=jinja2.FunctionLoader(load),
        )
        self.globals = {"range": self.globals["range"]}
        self.filters = {name: FILTERS[name] for name in _FILTERS} | {"join": _join}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counted().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def counted(self, values: Iterable[object]) -> Iterator[object]:
        """The values of a loop, each of them a step."""
        rendering = _rendering()
        for value in values:
            rendering.step()
            yield value

    def joined(self, *parts: object) -> str:
        """What ~ makes."""
        text = "".join(map(str, parts))
        _rendering().put(len(text))
        return text

    def call(__self, __context: Any, __obj: Any, *arguments: Any, **named: Any) -> Any:  # noqa: N805, PYI063
        """Call, as a step. The odd names leave every other name free for macros."""
        _rendering().step()
        return _bounded(super().call(__context, __obj, *arguments, **named))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers that stay small; + also joins texts and lists."""
        if operator == "+":
            return _bounded(left + right)
        if not all(isinstance(one, int | float) and abs(one) < 1e9 for one in (left, right)):
            raise Exceeded(f"{operator} is for numbers, and not for large ones")
        if operator == "**" and abs(right) > 16:
            raise Exceeded("the power is too high")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> None:
        """Not for `str.format` either: a width makes a text as long as one likes."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Of texts only the methods that make them no longer."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        return super().is_safe_attribute(obj, attr, value)


class Roles(Extension):
    """The tags that make messages."""

    tags = {"system", "user", "assistant", "message"}  # noqa: RUF012 - as the base class has it

    def parse(self, parser: Parser) -> nodes.Node:
        """`{% ROLE [keep[=EXPRESSION]] %}...{% endROLE %}`, or `{% message EXPRESSION ... %}` for a computed role."""
        token = next(parser.stream)
        name = str(token.value)
        role = parser.parse_expression() if name == "message" else nodes.Const(name)
        keep: nodes.Expr = nodes.Const(False)
        if parser.stream.skip_if("name:keep"):
            keep = parser.parse_expression() if parser.stream.skip_if("assign") else nodes.Const(True)
        opening = nodes.Output([self.call_method("_open", [role])])
        body = parser.parse_statements((f"name:end{name}",), drop_needle=True)
        closing = nodes.CallBlock(self.call_method("_close", [role, keep]), [], [], body)
        return nodes.Scope([opening.set_lineno(token.lineno), closing.set_lineno(token.lineno)])

    def _open(self, role: object) -> str:
        rendering = _rendering()
        if rendering.inside:
            raise jinja2.TemplateRuntimeError("a message stands inside another")
        if role not in ("system", "user", "assistant"):
            raise jinja2.TemplateRuntimeError(f"{role!r} is not a role; roles are system, user and assistant")
        rendering.inside = True
        return ""

    def _close(self, role: Any, keep: object, caller: Callable[[], str]) -> str:
        text = caller().strip()
        rendering = _rendering()
        rendering.inside = False
        if text:
            rendering.messages.append(Message(role=role, text=text, keep=bool(keep)))
        return ""


class _Counted(NodeTransformer):
    """Loops and ~ go through the environment, which counts them."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja finds it by the name
        if node.recursive:
            raise jinja2.TemplateSyntaxError("recursive loops are not for prompts", node.lineno)
        self.generic_visit(node)
        node.iter = _through("counted", [node.iter])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through("joined", node.nodes)


def _through(method: str, arguments: Sequence[nodes.Node]) -> nodes.Expr:
    return nodes.Call(nodes.EnvironmentAttribute(method), list(arguments), [], None, None)


def _finalised(value: object) -> object:
    """Each output: texts and numbers, counted. A list or record printed as Python would is a mistake."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | jinja2.Undefined):
        raise jinja2.TemplateRuntimeError(f"a {_KINDS.get(type(value), 'value')} cannot be written as it is")
    text = value if isinstance(value, str) else str(value)  # of a name that is not defined: an error
    _rendering().put(len(text))
    return text


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | tuple):
        _rendering().put(len(value))
    return value


def _join(values: Iterable[object], separator: str = "", attribute: str | None = None) -> str:
    """The `join` filter; attribute: the field to take of each record."""
    taken: Sequence[object] = list(values)
    if attribute is not None:
        taken = [one[attribute] for one in taken]  # type: ignore[index]
    texts = [str(one) for one in taken]
    _rendering().put(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


_KINDS: Final = {bool: "truth value", list: "list", tuple: "list", dict: "record", type(None): "missing value"}
_FILTERS: Final = (
    "abs capitalize count d default first float int items last length list lower max min reject rejectattr reverse"
    " round select selectattr sort string sum title tojson trim truncate unique upper wordcount"
).split()
_TEXT_METHODS: Final = frozenset(
    "capitalize endswith isdigit lower lstrip partition rpartition rstrip split splitlines startswith strip title"
    " upper".split()
)
