"""Which files below a folder count: .gitignore and .sourcebookignore files, include and exclude patterns."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sourcebook.errors import ConfigError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".sourcebookignore")
"""Both are read in every folder, with git's pattern language; patterns bind below the folder they stand in."""


@dataclass(frozen=True, slots=True)
class Ignoring:
    """The rules that hold in one folder: those of its parents and its own.

    rules: (folder the patterns are relative to, compiled patterns), outermost first; the last match decides.
    """

    root: str
    include: GitIgnoreSpec | None = None
    exclude: GitIgnoreSpec | None = None
    rules: tuple[tuple[str, GitIgnoreSpec], ...] = field(default_factory=tuple)

    @classmethod
    def at(cls, root: str, include: Sequence[str], exclude: Sequence[str]) -> Ignoring:
        """The rules at the root of a source; patterns are in .gitignore's language, relative to the root.

        Errors: ConfigError for a pattern that means nothing.
        """
        return cls(root, _compiled(include) if include else None, _compiled(exclude) if exclude else None)

    def entering(self, folder: str, names: set[str]) -> Ignoring:
        """The rules inside a folder whose entries are `names`."""
        rules = list(self.rules)
        for name in IGNORE_FILES:
            if name in names:
                try:
                    with open(os.path.join(folder, name), encoding="utf-8-sig", errors="replace") as file:
                        lines = file.read().splitlines()
                except OSError:
                    continue
                rules.append((folder, _compiled([line for line in lines if _valid(line)])))
        return self if len(rules) == len(self.rules) else Ignoring(self.root, self.include, self.exclude, tuple(rules))

    def skips(self, path: str, *, folder: bool) -> bool:
        """Whether the file or folder at `path` is left out."""
        if self.include is None and self.exclude is None and not self.rules:
            return False
        ending = "/" if folder else ""
        relative = os.path.relpath(path, self.root) + ending
        if self.exclude is not None and self.exclude.match_file(relative):
            return True
        if not folder and self.include is not None and not self.include.match_file(relative):
            return True
        for base, rules in reversed(self.rules):
            verdict = rules.check_file(os.path.relpath(path, base) + ending).include
            if verdict is not None:
                return verdict
        return False


def _compiled(patterns: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except (ValueError, re.error) as error:
        wrong = next(pattern for pattern in patterns if not _valid(pattern))
        raise ConfigError(f"{wrong!r} is not a pattern", remedy="Patterns are written as in .gitignore") from error


def _valid(pattern: str) -> bool:
    """Whether it means something; git passes over lines of ignore files that do not."""
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([pattern])
    except (ValueError, re.error):
        return False
    return True
