"""Know which DAGs have tasks with dates of their own."""

from leoflow.db.migrate import run_body

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Forget it."""
    run_body(__file__, "down")
