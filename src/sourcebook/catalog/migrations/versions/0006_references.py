"""What refers to a conversation goes with it; numbers of sources, documents and versions are never given out again."""

import sqlalchemy as sa
from alembic import op

from sourcebook.catalog.migrations.columns import TEXT

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Forget what has outlived its conversation or its turn, and see that nothing does again."""
    _count()
    for table in _REFERRING:
        op.execute(f"DELETE FROM {table} WHERE conversation_id NOT IN (SELECT id FROM conversation)")  # noqa: S608
    op.execute("""
        DELETE FROM memory
         WHERE EXISTS (SELECT 1 FROM turn
                        WHERE turn.conversation_id = memory.conversation_id AND turn.number = memory.number
                          AND turn.removed)
    """)
    if op.get_bind().dialect.name == "postgresql":
        for table in _REFERRING:
            op.create_foreign_key(
                f"{table}_conversation", table, "conversation", ["conversation_id"], ["id"], ondelete="CASCADE"
            )
    else:
        _make_anew()
    _find()


def _count() -> None:
    """Create the counters, which begin after the greatest numbers that there are, or that anything refers to."""
    op.create_table(
        "counter",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),  # number given out
    )
    for name, numbers in _NUMBERS.items():
        op.execute(f"INSERT INTO counter (name, last) SELECT '{name}', COALESCE(MAX(id), 0) FROM ({numbers}) AS used")  # noqa: S608


def _make_anew() -> None:
    """SQLite cannot add a reference to a table that is there."""
    for table, columns in _REFERRING.items():
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
        op.execute(f"CREATE TABLE {table} ({columns})")
        op.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")  # noqa: S608
        op.execute(f"DROP TABLE {table}_before")  # and its indexes
    op.create_index("ix_turn_document_document_id", "turn_document", ["document_id"])
    op.create_index("ix_memory_conversation_id", "memory", ["conversation_id"])
    op.create_index("memory_owner", "memory", ["tenant", "principals"])


def _find() -> None:
    """Create indexes by which conversations are found by their owner, and calls by when they were made."""
    op.drop_index("conversation_owner", "conversation")
    if op.get_bind().dialect.name == "postgresql":  # where an entry of a B-tree has 2,704 bytes
        op.create_index("conversation_owner", "conversation", ["principals"], postgresql_using="hash")
        op.create_index("conversation_touched", "conversation", ["tenant", "touched"])
    else:
        op.create_index("conversation_owner", "conversation", ["tenant", "principals", "touched"])
    op.create_index("usage_at", "usage", ["at"])


_NUMBERS = {
    "source": "SELECT id FROM source UNION ALL SELECT source_id FROM document",
    "document": """
        SELECT id FROM document
        UNION ALL SELECT document_id FROM turn_document
        UNION ALL SELECT document_id FROM answer_document
    """,
    "version": "SELECT id FROM version UNION ALL SELECT version_id FROM turn_document",
}
"""Where the numbers of each kind stand."""
_REFERRING = {
    "turn": """
        conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at TEXT NOT NULL,
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        answer_id TEXT,
        removed BOOLEAN NOT NULL,
        PRIMARY KEY (conversation_id, number)
    """,
    "turn_document": """
        conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        document_id INTEGER NOT NULL,
        version_id INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, number, document_id, version_id)
    """,
    "memory": """
        id TEXT NOT NULL PRIMARY KEY,
        tenant TEXT NOT NULL,
        principals TEXT NOT NULL,
        conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        vector BLOB NOT NULL,
        fingerprint TEXT NOT NULL
    """,
}
"""The tables that refer to a conversation, with their columns in the order of 0003."""
