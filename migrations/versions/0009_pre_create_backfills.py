"""Create backfills, and what their runs need of the runs' table."""

from leoflow.db.migrate import run_body

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Remove what it made."""
    run_body(__file__, "down")
