"""The pages about providers say what the program says."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "providers.py"))


def test_the_pages_are_up_to_date(script: dict[str, Any]) -> None:
    assert script["findings"]() == []


def test_what_is_stale_is_found(script: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "providers"
    script["write"](folder)
    assert script["findings"](folder) == []
    (folder / "openai.md").write_text("Old\n", encoding="utf-8")
    (folder / "nobody.md").write_text("Gone\n", encoding="utf-8")
    (folder / "groq.md").unlink()
    assert [one.split()[0] for one in script["findings"](folder)] == [
        "docs/providers/groq.md",
        "docs/providers/nobody.md",
        "docs/providers/openai.md",
    ]


def test_every_provider_has_a_page_and_a_row(script: dict[str, Any]) -> None:
    from sourcebook.models.providers import PRESETS

    pages = script["pages"]()
    for name, preset in PRESETS.items():
        assert f"]({name}.md)" in pages["README.md"]
        for option in preset.options:
            assert f"`{option}`" in pages[f"{name}.md"]
        for variables in preset.keys:
            assert variables.split(":")[0] in pages[f"{name}.md"]
