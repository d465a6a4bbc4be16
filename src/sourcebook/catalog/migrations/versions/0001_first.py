"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "book",  # one row: what is true of the whole book
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),  # grows with every change of what is live
        sa.Column("index_identity", sa.Text),  # which index was filled from this catalog
    )
    op.execute("INSERT INTO book (id, epoch) VALUES (1, 0)")
    op.create_table(
        "source",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("access", sa.Text, nullable=False),  # JSON list of names; empty: open to the tenant
        sa.Column("options", sa.Text, nullable=False),  # JSON object
        sa.Column("added", sa.Text, nullable=False),
        sa.UniqueConstraint("tenant", "url"),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("source_id", sa.Integer, nullable=False, index=True),
        sa.Column("access", sa.Text, nullable=False),  # JSON list
        sa.Column("state", sa.Text, nullable=False),  # pending, live, failed, deleted
        sa.Column("error", sa.Text),
        sa.Column("transient", sa.Boolean, nullable=False),  # whether trying again may help
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("versions", sa.Integer, nullable=False),  # version numbers given out so far
        sa.Column("live_version_id", sa.Integer),
        sa.Column("fingerprint", sa.Text, nullable=False),  # of the newest attempt
        sa.Column("content_hash", sa.Text),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("seconds", sa.Text, nullable=False),  # JSON object: stage -> duration
        sa.Column("updated", sa.Text, nullable=False),
        sa.UniqueConstraint("tenant", "uri"),
    )
    op.create_table(
        "version",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("document_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),  # staged, live, retired
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("metadata", sa.Text, nullable=False),  # JSON object
        sa.Column("created", sa.Text, nullable=False),
        sa.UniqueConstraint("document_id", "number"),
    )
    op.create_index("version_content", "version", ["content_hash", "recipe"])
    op.create_index("version_state", "version", ["state"])
    op.create_table(
        "parsed",
        sa.Column("version_id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("language", sa.Text),
    )
    op.create_table(
        "passage",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("version_id", sa.Integer, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("start_offset", sa.Integer, nullable=False),
        sa.Column("end_offset", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("heading_path", sa.Text, nullable=False),  # JSON list
        sa.Column("page", sa.Integer),
        sa.Column("location", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("text_key", sa.Text, nullable=False, index=True),  # of the text that is embedded
    )
    op.create_index("passage_place", "passage", ["version_id", "ordinal"], unique=True)
    op.create_table(
        "embedding",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("text_key", sa.Text, primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),  # float32, little endian
        sa.Column("terms", sa.LargeBinary, nullable=False),  # uint32 numbers, then float32 weights
    )
    op.create_table(
        "answer",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),  # JSON: see catalog.answers
    )
