"""What an answer was made from, so that forgetting a document or a conversation reaches the answer's record."""

import json
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from sourcebook.catalog.migrations.columns import TEXT

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the list of the documents that each answer was made from, and fill it from the answers that there are.

    An answer that was made from a document that is gone by now is deleted.
    """
    op.create_table(
        "answer_document",
        sa.Column("answer_id", TEXT, primary_key=True),
        sa.Column("document_id", sa.Integer, primary_key=True),
    )
    op.create_index("answer_document_document", "answer_document", ["document_id"])
    op.add_column("answer", sa.Column("conversation_id", TEXT))
    op.create_index("answer_conversation", "answer", ["conversation_id"])
    op.create_index("answer_asked", "answer", ["tenant", "asked"])
    connection = op.get_bind()
    for name in connection.execute(sa.text("SELECT id FROM answer ORDER BY id")).scalars().all():
        _attribute(connection, name)


def _attribute(connection: sa.Connection, name: str) -> None:
    row = connection.execute(sa.text("SELECT tenant, record FROM answer WHERE id = :id"), {"id": name}).one()
    record = json.loads(row.record)
    conversation = record.get("conversation")
    known = connection.execute(sa.text("SELECT 1 FROM conversation WHERE id = :id"), {"id": conversation}).first()
    documents = set(_documents(connection, row.tenant, record))
    if None in documents or (conversation is not None and known is None):
        connection.execute(sa.text("DELETE FROM answer WHERE id = :id"), {"id": name})
        return
    recalled = "SELECT DISTINCT document_id FROM turn_document WHERE conversation_id = :id"
    documents.update(connection.execute(sa.text(recalled), {"id": conversation}).scalars())
    connection.execute(
        sa.text("UPDATE answer SET conversation_id = :conversation WHERE id = :id"),
        {"conversation": conversation, "id": name},
    )
    for document in documents:
        connection.execute(
            sa.text("INSERT INTO answer_document (answer_id, document_id) VALUES (:answer, :document)"),
            {"answer": name, "document": document},
        )


def _documents(connection: sa.Connection, tenant: str, record: dict[str, list[dict[str, str]]]) -> Iterator[int | None]:
    """Ids of the documents that passages and citations are from; None for one that is gone."""
    for uri in {one["document"] for one in [*record.get("passages", []), *record.get("citations", [])]}:
        yield connection.execute(
            sa.text("SELECT id FROM document WHERE tenant = :tenant AND uri = :uri AND state <> 'deleted'"),
            {"tenant": tenant, "uri": uri},
        ).scalar_one_or_none()
