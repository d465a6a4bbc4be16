"""One tree of errors, drawn where it is defined."""

import inspect
import pickle
import re

import pytest

from sourcebook import errors
from sourcebook.errors import BookBusy, MissingExtra, SourcebookError, Transient

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, SourcebookError)]


def drawn() -> dict[str, tuple[str | None, str]]:
    """name -> (name of the class above, what is said of it), from the drawing in the docstring."""
    found: dict[str, tuple[str | None, str]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:│   |    )*)(├── |└── )?([A-Z]\w+)(?:\s\s+(.*))?$", line)
        if match:
            branch, arm, name, text = match.groups()
            depth = 0 if arm is None else 1 + len(branch) // 4
            above[depth:] = [name]
            found[name] = (above[depth - 1] if depth else None, text or "")
    return found


def test_the_drawing_is_the_tree() -> None:
    tree = {one.__name__: one.__bases__[0].__name__ for one in CLASSES}
    assert {name: above or "Exception" for name, (above, _) in drawn().items()} == tree
    assert len(tree) > 15


def test_the_drawing_says_what_is_transient() -> None:
    said = {name for name, (_, text) in drawn().items() if "(transient)" in text}
    said |= {one.__name__ for one in CLASSES if issubclass(one, Transient)}  # the branch says it for all of them
    assert said == {one.__name__ for one in CLASSES if one.transient}
    assert BookBusy.transient


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_what_it_is(kind: type[SourcebookError]) -> None:
    assert isinstance(kind.transient, bool)
    assert inspect.getdoc(kind)
    assert "__doc__" in vars(kind)
    assert kind.__module__ == "sourcebook.errors"


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_cross_process_boundaries_whole(kind: type[SourcebookError]) -> None:
    again = pickle.loads(pickle.dumps(kind("It went wrong", remedy="Do this")))
    assert type(again) is kind
    assert (again.args, again.remedy, again.transient) == (("It went wrong",), "Do this", kind.transient)
    assert str(again) == "It went wrong. Do this"


def test_the_text_holds_the_remedy_if_there_is_one() -> None:
    assert str(SourcebookError("It went wrong")) == "It went wrong"
    assert str(SourcebookError("It went wrong", remedy="Do this")) == "It went wrong. Do this"


def test_a_missing_extra_names_the_command() -> None:
    error = MissingExtra.of("pdf parsing", "pdf")
    assert str(error) == 'pdf parsing is not installed. Run: pip install "sourcebook[pdf]"'
    assert not error.transient
