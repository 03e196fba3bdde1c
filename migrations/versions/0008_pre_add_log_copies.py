"""Add the list of logs to be copied to an object store."""

from leoflow.db.migrate import run_body

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Drop it."""
    run_body(__file__, "down")
