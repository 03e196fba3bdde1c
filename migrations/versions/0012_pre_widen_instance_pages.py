"""Leave more room for updates in the pages of task instances."""

from leoflow.db.migrate import run_body

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Pack pages as before."""
    run_body(__file__, "down")
