"""The first schema."""

import sqlalchemy as sa
from alembic import op

from sourcebook.catalog.migrations.columns import TEXT

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "book",  # one row: what is true of the whole book
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),  # grows with every change of what is live
        sa.Column("index_identity", TEXT),  # which index was filled from this catalog
    )
    op.execute("INSERT INTO book (id, epoch) VALUES (1, 0)")
    op.create_table(
        "source",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("access", TEXT, nullable=False),  # JSON list of names; empty: open to the tenant
        sa.Column("options", TEXT, nullable=False),  # JSON object
        sa.Column("added", TEXT, nullable=False),
        sa.UniqueConstraint("tenant", "url"),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("uri", TEXT, nullable=False),
        sa.Column("source_id", sa.Integer, nullable=False, index=True),
        sa.Column("access", TEXT, nullable=False),  # JSON list
        sa.Column("state", TEXT, nullable=False),  # pending, live, failed, deleted
        sa.Column("error", TEXT),
        sa.Column("transient", sa.Boolean, nullable=False),  # whether trying again may help
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("versions", sa.Integer, nullable=False),  # version numbers given out so far
        sa.Column("live_version_id", sa.Integer),
        sa.Column("fingerprint", TEXT, nullable=False),  # of the newest attempt
        sa.Column("content_hash", TEXT),
        sa.Column("recipe", TEXT, nullable=False),
        sa.Column("seconds", TEXT, nullable=False),  # JSON object: stage -> duration
        sa.Column("updated", TEXT, nullable=False),
        *(() if postgresql else (sa.UniqueConstraint("tenant", "uri"),)),
    )
    if postgresql:  # an entry of a B-tree has 2,704 bytes there, and the path of a file may have more
        op.create_index("document_uri", "document", ["uri"], postgresql_using="hash")
        op.create_index(
            "document_name",
            "document",
            ["tenant", sa.text("hashtextextended(uri, 0)"), sa.text("hashtextextended(uri, 1)")],
            unique=True,
        )
    op.create_table(
        "version",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("document_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", TEXT, nullable=False),  # staged, live, retired
        sa.Column("content_hash", TEXT, nullable=False),
        sa.Column("recipe", TEXT, nullable=False),
        sa.Column("title", TEXT),
        sa.Column("metadata", TEXT, nullable=False),  # JSON object
        sa.Column("created", TEXT, nullable=False),
        sa.UniqueConstraint("document_id", "number"),
    )
    op.create_index("version_content", "version", ["content_hash", "recipe"])
    op.create_index("version_state", "version", ["state"])
    op.create_table(
        "parsed",
        sa.Column("version_id", sa.Integer, primary_key=True),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("language", TEXT),
    )
    op.create_table(
        "passage",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("version_id", sa.Integer, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("start_offset", sa.Integer, nullable=False),
        sa.Column("end_offset", sa.Integer, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("heading_path", TEXT, nullable=False),  # JSON list
        sa.Column("page", sa.Integer),
        sa.Column("location", TEXT),
        sa.Column("language", TEXT),
        sa.Column("text_key", TEXT, nullable=False, index=True),  # of the text that is embedded
    )
    op.create_index("passage_place", "passage", ["version_id", "ordinal"], unique=True)
    op.create_table(
        "embedding",
        sa.Column("fingerprint", TEXT, primary_key=True),
        sa.Column("text_key", TEXT, primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),  # float32, little endian
        sa.Column("terms", sa.LargeBinary, nullable=False),  # uint32 numbers, then float32 weights
    )
    op.create_table(
        "answer",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("asked", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("question", TEXT, nullable=False),
        sa.Column("record", TEXT, nullable=False),  # JSON: see catalog.answers
    )
