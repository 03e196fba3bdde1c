"""What triggerers run for the watchers of assets."""

from leoflow.db.migrate import run_body

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Only record watchers again."""
    run_body(__file__, "down")
