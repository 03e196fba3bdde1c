"""Which function answers which message of the Task SDK: all forty, none forgotten."""

from collections.abc import Awaitable, Callable, Mapping

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from leoflow.db import retry_transient
from leoflow.execution import assets, connections, dag_runs, hitl, task_instances, variables, xcoms
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError, refused
from leoflow.execution.outcomes import TERMINAL

log = structlog.get_logger(__name__)

Operation = Callable[[Store, AttemptContext, Message], Awaitable[Reply]]

OPERATIONS: Mapping[str, Operation] = {
    "CreateHITLDetailPayload": hitl.ask,
    "DeleteVariable": variables.delete_variable,
    "DeleteXCom": xcoms.delete_xcom,
    "GetAssetByName": assets.get_asset,
    "GetAssetByUri": assets.get_asset,
    "GetAssetEventByAsset": assets.get_asset_events,
    "GetAssetEventByAssetAlias": assets.get_asset_events,
    "GetConnection": connections.get_connection,
    "GetDRCount": dag_runs.count_dag_runs,
    "GetDag": dag_runs.get_dag,
    "GetDagRun": dag_runs.get_dag_run,
    "GetDagRunState": dag_runs.get_dag_run_state,
    "GetHITLDetailResponse": hitl.get_answer,
    "GetNumberXComs": xcoms.count_xcoms,
    "GetPrevSuccessfulDagRun": dag_runs.get_previous_successful,
    "GetPreviousDagRun": dag_runs.get_previous_dag_run,
    "GetPreviousTI": task_instances.get_previous_instance,
    "GetTICount": task_instances.count_task_instances,
    "GetTaskBreadcrumbs": task_instances.get_breadcrumbs,
    "GetTaskRescheduleStartDate": dag_runs.get_reschedule_start,
    "GetTaskStates": task_instances.get_task_states,
    "GetVariable": variables.get_variable,
    "GetXCom": xcoms.get_xcom,
    "GetXComSequenceItem": xcoms.get_item,
    "GetXComSequenceSlice": xcoms.get_slice,
    "PutVariable": variables.put_variable,
    "SetXCom": xcoms.set_xcom,
    "SkipDownstreamTasks": task_instances.skip_downstream,
    "TriggerDagRun": dag_runs.trigger_dag_run,
    "UpdateHITLDetail": hitl.answer_by_default,
    "ValidateInletsAndOutlets": assets.validate_inlets_and_outlets,
}
"""Messages answered from the database."""

OF_TRIGGERS = frozenset({"GetHITLDetailResponse", "UpdateHITLDetail"})
"""Asked by triggers and over HTTP only: a task's own decoder has no type for the answer, as in Airflow."""

OF_WATCHERS = frozenset(
    {
        "DeleteVariable",
        "GetAssetByName",
        "GetAssetByUri",
        "GetAssetEventByAsset",
        "GetAssetEventByAssetAlias",
        "GetConnection",
        "GetVariable",
        "PutVariable",
    }
)
"""What the triggers of asset watchers may ask, which belong to no task."""

LOCAL = frozenset({"MaskSecret", "ResendLoggingFD", "SetRenderedFields", "SetRenderedMapIndex"}) | TERMINAL
"""Messages the attempt's supervisor answers itself, because they concern its log, its outcome or its memory."""


async def perform(operation: Operation, store: Store, context: AttemptContext, message: Message) -> Reply:
    """Answer one request, again while the database is away for a moment.

    Raises:
        FaultError: whatever went wrong, in words for the task.
    """
    kind = message.get("type")
    try:
        return await retry_transient(lambda: operation(store, context, message))
    except FaultError:
        raise
    except (psycopg.Error, PoolTimeout) as error:
        log.warning("a request failed", request=kind, attempt_id=str(context.claimed.attempt_id), error=str(error))
        raise refused(f"the database refused {kind}: {error}", 500) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refused(f"malformed {kind} message: {error!r}") from error
