"""The tables of documents, kept as tables so that SQL can count and join them."""

import sqlalchemy as sa
from alembic import op

from sourcebook.catalog.migrations.columns import TEXT

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the store of tables; a table belongs to one version of one document, as passages do."""
    op.create_table(
        "table_data",
        sa.Column("version_id", sa.Integer, primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True),
        sa.Column("name", TEXT, nullable=False),  # of the sheet; empty: the file is the table
        sa.Column("columns", TEXT, nullable=False),  # JSON list of [name, SQL type]
        sa.Column("row_count", sa.Integer, nullable=False),
        sa.Column("places", TEXT, nullable=False),  # JSON list of [row number, how many], of runs of rows
        sa.Column("data", sa.LargeBinary, nullable=False),  # the cells: see types.Table
    )
