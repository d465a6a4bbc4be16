"""What model calls cost, and the budgets that bound them. Money is in micro-US-dollars."""

import sqlalchemy as sa
from alembic import op

from sourcebook.catalog.migrations.columns import TEXT

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the ledger of calls, its daily sums, what is held for calls under way, and the budgets."""
    op.create_table(
        "usage",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("at", TEXT, nullable=False),  # when the call began
        sa.Column("day", TEXT, nullable=False),  # of `at`, UTC, "2026-05-31"
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("answer_id", TEXT),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),  # the vendor's
        sa.Column("outcome", TEXT, nullable=False),  # finished, broken, cancelled, lost
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("cache_write_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("reasoning_tokens", sa.Integer, nullable=False),
        sa.Column("counted_by", TEXT, nullable=False),  # "vendor", or the tokenizer that counted
        sa.Column("exact", sa.Boolean, nullable=False),  # the vendor's own count of the whole call
        sa.Column("cost", sa.BigInteger),  # null: not known, which is not 0
        sa.Column("reserved", sa.BigInteger, nullable=False),  # what was held for it before; 0 without a budget
    )
    op.create_index("usage_payer", "usage", ["tenant", "day", "account"])
    op.create_index("usage_answer", "usage", ["answer_id"])
    op.create_table(
        "spending",  # sums of `usage`, so that a budget is checked by reading a few rows
        sa.Column("tenant", TEXT, primary_key=True),
        sa.Column("account", TEXT, primary_key=True),  # "*": all of the tenant together
        sa.Column("day", TEXT, primary_key=True),
        sa.Column("cost", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "reservation",
        sa.Column("id", TEXT, primary_key=True),  # of the call; its row of `usage` will have the same
        sa.Column("at", TEXT, nullable=False),
        sa.Column("day", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("expires", TEXT, nullable=False),  # put off while its process lives
    )
    op.create_index("reservation_payer", "reservation", ["tenant", "account", "day"])
    op.create_index("reservation_end", "reservation", ["expires"])
    op.create_table(
        "budget",
        sa.Column("tenant", TEXT, primary_key=True),
        sa.Column("account", TEXT, primary_key=True),  # "*": all of the tenant together
        sa.Column("period", TEXT, primary_key=True),  # day, month, total
        sa.Column("cost_limit", sa.BigInteger, nullable=False),
    )
