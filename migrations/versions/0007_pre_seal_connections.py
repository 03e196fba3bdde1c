"""Seal connections as a whole."""

from leoflow.db.migrate import run_body

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Go back to columns, without what was sealed."""
    run_body(__file__, "down")
