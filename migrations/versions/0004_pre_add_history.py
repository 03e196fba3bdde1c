"""Add the history of task instances, and make that of attempts a partitioned table."""

from leoflow.db.migrate import run_body

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Bring everything back into the live tables."""
    run_body(__file__, "down")
