"""Note which DAGs cannot be forked."""

from leoflow.db.migrate import run_body

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Forget it."""
    run_body(__file__, "down")
