"""Conversations, what was learned in them, and examples for prompts."""

import sqlalchemy as sa
from alembic import op

from sourcebook.catalog.migrations.columns import TEXT

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of memory. Access lists and principals are JSON lists, as elsewhere."""
    op.create_table(
        "conversation",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("principals", TEXT, nullable=False),  # whose it is: those who go by all these names
        sa.Column("started", TEXT, nullable=False),
        sa.Column("touched", TEXT, nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),  # numbers given out so far
        sa.Column("summary", TEXT, nullable=False),  # of the turns up to `summarised`
        sa.Column("summarised", sa.Integer, nullable=False),
        sa.Column("learned", sa.Integer, nullable=False),  # facts were looked for in the turns up to here
        sa.Column("revision", sa.Integer, nullable=False),  # grows when the summary, or what it covers, changes
    )
    op.create_index("conversation_owner", "conversation", ["tenant", "touched"])
    op.create_table(
        "turn",
        sa.Column("conversation_id", TEXT, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),  # user, assistant
        sa.Column("text", TEXT, nullable=False),
        sa.Column("answer_id", TEXT),
        sa.Column("removed", sa.Boolean, nullable=False),  # what it was made from is gone, and so is its text
    )
    op.create_table(
        "turn_document",  # what a turn was made from; number 0 stands for the conversation's summary
        sa.Column("conversation_id", TEXT, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("document_id", sa.Integer, primary_key=True, index=True),
        sa.Column("version_id", sa.Integer, primary_key=True),
    )
    op.create_table(
        "memory",  # a fact worth recalling
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("principals", TEXT, nullable=False),  # as of the conversation
        sa.Column("conversation_id", TEXT, nullable=False, index=True),
        sa.Column("number", sa.Integer, nullable=False),  # the turn that it was learned in, and goes with
        sa.Column("at", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),  # fact, preference
        sa.Column("text", TEXT, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),  # float32, little endian, of length one
        sa.Column("fingerprint", TEXT, nullable=False),  # of the embedder that made it
    )
    if op.get_bind().dialect.name == "postgresql":  # where an entry of a B-tree has 2,704 bytes
        op.create_index("memory_owner", "memory", ["principals"], postgresql_using="hash")
    else:
        op.create_index("memory_owner", "memory", ["tenant", "principals"])
    op.create_table(
        "example",  # a question with its good answer, for few-shot prompts
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("collection", TEXT, nullable=False),
        sa.Column("question", TEXT, nullable=False),
        sa.Column("answer", TEXT, nullable=False),
        sa.Column("added", TEXT, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),  # of the question
        sa.Column("fingerprint", TEXT, nullable=False),
    )
    op.create_index("example_collection", "example", ["tenant", "collection"])
