"""Keep what a run of a version starts with beside the version."""

from leoflow.db.migrate import run_body

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Drop what it added."""
    run_body(__file__, "down")
