"""Where a book lives, and how an empty one is made."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sourcebook.config import FILE, template
from sourcebook.errors import NoBook

HOME = ".sourcebook"


def find_home(home: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the book: as given, SOURCEBOOK_HOME, the nearest .sourcebook upwards, or ./.sourcebook."""
    if home is not None:
        return Path(home).expanduser().absolute()
    if os.environ.get("SOURCEBOOK_HOME"):
        return Path(os.environ["SOURCEBOOK_HOME"]).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / HOME / FILE).exists():
            return folder / HOME
    return here / HOME


def make_home(place: Path) -> None:
    """Make an empty book: a folder with a settings file, which appears whole. Errors: NoBook."""
    beside = place / f"{FILE}.{os.getpid()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_text(template(), encoding="utf-8")
            beside.replace(place / FILE)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise NoBook(f"No book can be made in {place}: {error.strerror}", remedy="Name another place") from error
