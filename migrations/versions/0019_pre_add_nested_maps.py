"""Add what mapped groups inside mapped groups need."""

from leoflow.db.migrate import run_body

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Remove the columns again."""
    run_body(__file__, "down")
