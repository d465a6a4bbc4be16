"""What an answer was made from, so that forgetting a document or a conversation reaches the answer's record."""

import sqlalchemy as sa
from alembic import op

from sourcebook.catalog.migrations.columns import TEXT

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the list of the versions of documents that each answer was made from."""
    op.create_table(
        "answer_document",
        sa.Column("answer_id", TEXT, primary_key=True),
        sa.Column("document_id", sa.Integer, primary_key=True),
        sa.Column("version_id", sa.Integer, primary_key=True),
    )
