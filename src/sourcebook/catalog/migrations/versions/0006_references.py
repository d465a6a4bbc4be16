"""Numbers of documents and versions are never given out again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the counters, which begin after the greatest numbers that there are."""
    op.create_table(
        "counter",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),  # number given out
    )
    for table in ("document", "version"):
        op.execute(f"INSERT INTO counter (name, last) SELECT '{table}', COALESCE(MAX(id), 0) FROM {table}")  # noqa: S608
