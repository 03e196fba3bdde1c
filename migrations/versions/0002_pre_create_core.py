"""Create the tables of the state machine."""

from leoflow.db.migrate import run_body

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Drop everything this migration made."""
    run_body(__file__, "down")
