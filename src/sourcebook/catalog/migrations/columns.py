"""The type that every text column of the catalog has."""

import sqlalchemy as sa

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text that is compared and sorted by code points on every database, whatever language a server is set up for: so
equal states are listed and exported in the same order everywhere. SQLite does so of itself."""
