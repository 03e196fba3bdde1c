"""Mark the last lines of logs."""

from leoflow.db.migrate import run_body

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Forget the marks."""
    run_body(__file__, "down")
