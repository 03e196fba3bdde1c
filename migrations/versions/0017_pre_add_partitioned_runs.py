"""Make runs of partitions."""

from leoflow.db.migrate import run_body

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL beside this file."""
    run_body(__file__)


def downgrade() -> None:
    """Forget them."""
    run_body(__file__, "down")
