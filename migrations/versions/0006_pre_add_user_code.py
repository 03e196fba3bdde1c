"""Add what callbacks, deadlines and custom timetables need."""

from leoflow.db.migrate import run_body

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Drop them again."""
    run_body(__file__, "down")
