"""Where templates run: Jinja without files, without attributes that start with _, and with an end.

A template is written by the user or sent by a tenant, so it may be wrong or hostile. It sees texts, numbers and
lists of them, a few filters, and its own pieces; every loop, call and output is counted against a limit. Imported
when the first template is loaded, because Jinja is.

    {% system %} ... {% endsystem %}        one message; likewise user and assistant
    {% message turn.role %} ... {% endmessage %}
    {% system keep %}                       the prompt up to here comes again: a vendor may cache it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from time import monotonic
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import BlockReference, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import htmlsafe_json_dumps
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
    return _current.get() or Rendering()


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
            optimized=False,  # nothing is computed when a template is loaded, where nothing would count it
            finalize=_finalised,
            extensions=[Roles],
            loader=jinja2.FunctionLoader(load),
        )
        self.globals = {"range": self.globals["range"]}
        plain: dict[str, Callable[..., Any]] = {name: _counted(FILTERS[name]) for name in _FILTERS}
        texts = {name: _counted(_of_text(FILTERS[name])) for name in _TEXT_FILTERS}
        self.filters = plain | texts | {"join": _join, "round": _round, "sum": _sum, "tojson": _to_json}

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
        text = "".join(map(_text, parts))
        _rendering().put(len(text))
        return text

    def held(self, value: Any) -> Any:
        """A list or record as the template writes it down.

        All that it holds is counted each time: lists of the same lists would else be of any size to whoever compares
        or writes them.
        """
        _walk(value)
        return value

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
        """Of texts the methods that make them no longer, of records those that read, and what Jinja itself brings."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        if isinstance(obj, Mapping):
            return attr in _RECORD_METHODS
        return isinstance(obj, LoopContext | Macro | BlockReference) and super().is_safe_attribute(obj, attr, value)


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
    """Loops, ~ and what holds other values go through the environment, which counts them."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja finds it by the name
        if node.recursive:
            raise jinja2.TemplateSyntaxError("recursive loops are not for prompts", node.lineno)
        self.generic_visit(node)
        node.iter = _through("counted", [node.iter])
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through("joined", node.nodes)

    def visit_List(self, node: nodes.List | nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through("held", [node])

    visit_Dict = visit_List  # noqa: N815

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through("held", [node]) if node.ctx == "load" else node


def _through(method: str, arguments: Sequence[nodes.Node]) -> nodes.Expr:
    return nodes.Call(nodes.EnvironmentAttribute(method), list(arguments), [], None, None)


@jinja2.pass_environment  # or Jinja would compute constant parts when the template is loaded
def _finalised(_: jinja2.Environment, value: object) -> object:
    """Each output: texts and numbers, counted. A list or record printed as Python would is a mistake."""
    text = _text(value)
    _rendering().put(len(text))
    return text


def _text(value: object) -> str:
    """A value that can be written; of a name that is not defined, an error."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | jinja2.Undefined):
        raise jinja2.TemplateRuntimeError(f"a {_KINDS.get(type(value), 'value')} cannot be written as it is")
    return value if isinstance(value, str) else str(value)


def _walk(value: object) -> None:
    """Count every value in it."""
    _rendering().step()
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            _walk(one)


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | tuple):
        _rendering().put(len(value))
    return value


# --- filters ------------------------------------------------------------------------------------------------


def _counted(filter: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja's, whose result is counted."""

    @wraps(filter)  # and with what Jinja gives it besides the value
    def counted(*arguments: Any, **named: Any) -> Any:
        _rendering().step()
        return _bounded(filter(*arguments, **named))

    return counted


def _of_text(filter: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja's that would write out whatever it is given, for what can be written."""
    place = 1 if hasattr(filter, "jinja_pass_arg") else 0

    @wraps(filter)
    def of_text(*arguments: Any, **named: Any) -> Any:
        return filter(*arguments[:place], _text(arguments[place]), *arguments[place + 1 :], **named)

    return of_text


def _join(values: Iterable[object], separator: str = "", attribute: str | None = None) -> str:
    """The `join` filter; attribute: the field to take of each record."""
    texts = [_text(one) for one in _taken(values, attribute)]
    _rendering().put(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _round(value: object, precision: int = 0, method: str = "common") -> object:
    """The `round` filter, to 15 places at most."""
    if not isinstance(precision, int) or not 0 <= precision <= 15:
        raise Exceeded("round is for 0 to 15 places")
    return FILTERS["round"](value, precision, method)


def _sum(values: Iterable[object], attribute: str | None = None) -> int | float:
    """The `sum` filter, of numbers."""
    numbers = _taken(values, attribute)
    if not all(isinstance(one, int | float) for one in numbers):
        raise jinja2.TemplateRuntimeError("sum is for numbers")
    return sum(one for one in numbers if isinstance(one, int | float))


def _to_json(value: object) -> str:
    """The `tojson` filter, on one line."""
    _walk(value)
    return _bounded(str(htmlsafe_json_dumps(value)))  # type: ignore[no-any-return]


def _taken(values: Iterable[object], attribute: str | None) -> list[object]:
    taken = list(values)
    return taken if attribute is None else [one[attribute] for one in taken]  # type: ignore[index]


_KINDS: Final = {bool: "truth value", list: "list", tuple: "list", dict: "record", type(None): "missing value"}
_FILTERS: Final = (
    "abs count d default first float int items last length list max min reject rejectattr reverse select selectattr"
    " sort unique"
).split()
_TEXT_FILTERS: Final = "capitalize lower string title trim truncate upper wordcount".split()
_RECORD_METHODS: Final = frozenset({"get", "items", "keys", "values"})
_TEXT_METHODS: Final = frozenset(
    "capitalize endswith isdigit lower lstrip partition rpartition rstrip split splitlines startswith strip title"
    " upper".split()
)
