"""What the book counts: changes of what is live, and the numbers of sources, documents and versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sourcebook.catalog.statements import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection


def take_numbers(connection: Connection, of: Literal["source", "document", "version"], count: int) -> range:
    """The next `count` numbers: none that was given out before, so that nothing ever rests on another by its number."""
    last = connection.execute(
        sql("""
            INSERT INTO counter (name, last) VALUES (:of, :count)
            ON CONFLICT (name) DO UPDATE SET last = counter.last + excluded.last
            RETURNING last
        """),
        {"of": of, "count": count},
    ).scalar_one()
    return range(last - count + 1, last + 1)


def advance(connection: Connection) -> None:
    """Note that what is live, or who may see it, has changed: what was read before holds no longer."""
    connection.execute(sql("UPDATE book SET epoch = epoch + 1 WHERE id = 1"))
