"""What `__all__` holds is the public API: small, sorted, complete and explained."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import sourcebook

ROOT = Path(sourcebook.__file__).parent
MODULES = sorted(
    path for path in ROOT.rglob("*.py") if "migrations" not in path.parts and "__pycache__" not in path.parts
)


def test_all_is_sorted_and_small() -> None:
    assert list(sourcebook.__all__) == sorted(set(sourcebook.__all__))
    assert len(sourcebook.__all__) <= 25


def test_every_public_name_is_there_and_is_what_it_says() -> None:
    for name in sourcebook.__all__:
        assert getattr(sourcebook, name).__name__ == name
    assert set(sourcebook.__all__) <= set(dir(sourcebook))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = sourcebook.nothing_of_the_kind
    with pytest.raises(ImportError):
        from sourcebook import nothing_of_the_kind  # noqa: F401


def test_all_is_complete() -> None:
    """What type checkers are told is public is exactly what `__all__` names."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sourcebook.")
        for alias in node.names
    }
    assert imported == set(sourcebook.__all__)


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert sourcebook.__version__ == version("sourcebook")


def test_the_annotations_of_the_public_methods_can_be_resolved() -> None:
    signatures = [
        inspect.signature(value)
        for kind in (sourcebook.Sourcebook, sourcebook.BlockingSourcebook)
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_")
    ]
    assert len(signatures) > 20
    for signature in signatures:
        assert signature.return_annotation is not inspect.Signature.empty


def test_the_blocking_facade_has_the_methods_of_what_it_stands_for() -> None:
    """With their parameters; parts of the book, as its index, are reached through `.book`."""

    def methods(kind: type) -> dict[str, dict[str, tuple[object, object]]]:
        return {
            name: {key: (one.kind, one.default) for key, one in inspect.signature(value).parameters.items()}
            for name, value in vars(kind).items()
            if inspect.isfunction(value) and not name.startswith("_") and name != "close"
        }

    facade, book = methods(sourcebook.BlockingSourcebook), methods(sourcebook.Sourcebook)
    assert facade == book
    assert len(facade) > 10


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_have_docstrings(path: Path) -> None:
    text = path.read_text()
    if not text.strip():
        return
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{path.name} does not say what it is for"
    missing = [name for name, node in public(tree) if not ast.get_docstring(node)]
    assert not missing


def public(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public functions and classes of a module and their public methods; but not the members of protocols, which the
    class explains, nor the tests of suites, whose names say it."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                        continue
                    if not inner.name.startswith(("_", "test_")):
                        only_dots = len(inner.body) == 1 and ast.unparse(inner.body[0]) == "..."
                        if not only_dots:
                            yield f"{node.name}.{inner.name}", inner


def test_boxes_do_not_import_each_other_sideways() -> None:
    """Only the flows, the book, the command line and what stands above them see more than one box."""
    ground = {"types", "errors", "language", "filters", "ownership", "config", "pipes", "loopback"}
    contracts = {"models": {"embed"}, "prompt": {"models", "embed"}, "chunk": set(), "parse": set()}
    above = {"book", "testing", "commands", "serve", "evaluate", "interop"}
    truth = {"prompt"}  # memory lives in the catalog: docs/decisions/0006
    for path in MODULES:
        box = path.relative_to(ROOT).parts[0]
        if box.endswith(".py") or box in above:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sourcebook."):
                _, room, *rest = (node.module or "").split(".")
                if room not in ground and room != box:
                    allowed = room in contracts.get(box, set()) and rest == ["base"]
                    allowed = allowed or (room == "catalog" and box in truth)
                    allowed = allowed or (box, room, rest) == ("config", "models", ["keys"])  # no key in the settings
                    assert allowed, f"{path.relative_to(ROOT)} imports {node.module}"


def test_no_module_is_shadowed_or_left_out_of_the_package() -> None:
    names = {found.name for found in pkgutil.walk_packages(sourcebook.__path__, "sourcebook.")}
    for room in ("catalog", "sources", "parse", "chunk", "embed", "index", "retrieve", "prompt", "models", "testing"):
        assert f"sourcebook.{room}" in names
        assert importlib.import_module(f"sourcebook.{room}").__doc__, room
