"""Let processes without the project's code ask its timetables."""

from leoflow.db.migrate import run_body

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Remove the questions."""
    run_body(__file__, "down")
