"""What batch listings of runs and of task instances may filter by alike."""

from pydantic import Field

from leoflow.api.public.criteria import Moment, Number
from leoflow.api.public.shapes import StrictBody


class BatchBody(StrictBody):
    """Times and paging of a batch listing."""

    order_by: str | None = None
    page_offset: int = Field(0, ge=0, lt=2**63)
    page_limit: int = Field(100, ge=0)
    dag_ids: list[str] | None = None
    run_after_gte: Moment | None = None
    run_after_gt: Moment | None = None
    run_after_lte: Moment | None = None
    run_after_lt: Moment | None = None
    logical_date_gte: Moment | None = None
    logical_date_gt: Moment | None = None
    logical_date_lte: Moment | None = None
    logical_date_lt: Moment | None = None
    start_date_gte: Moment | None = None
    start_date_gt: Moment | None = None
    start_date_lte: Moment | None = None
    start_date_lt: Moment | None = None
    end_date_gte: Moment | None = None
    end_date_gt: Moment | None = None
    end_date_lte: Moment | None = None
    end_date_lt: Moment | None = None
    duration_gte: Number | None = None
    duration_gt: Number | None = None
    duration_lte: Number | None = None
    duration_lt: Number | None = None
