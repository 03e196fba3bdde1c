"""Tasks that ask people, for `tests/truth/record_hitl.py`. Run by Airflow and by Leoflow."""

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import (
    ApprovalOperator,
    HITLBranchOperator,
    HITLEntryOperator,
    HITLOperator,
)
from airflow.sdk import DAG, BaseNotifier, Param


class Tell(BaseNotifier):
    """Tells the next task that somebody was told."""

    def notify(self, context: Any) -> None:
        context["ti"].xcom_push("told", context["task"].subject)


COUNT = {"count": Param(1, type="integer", minimum=0, maximum=10)}
OTHERS = [{"id": "ann", "name": "Ann"}]
SHORT = timedelta(seconds=4)

with DAG("people", schedule=None, start_date=datetime(2026, 1, 1), params={"of_the_dag": 1}) as dag:
    choose = HITLOperator(
        task_id="choose", subject="Pick {{ dag_run.run_id }}", body="a **colour**", options=["red", "green"],
        params={"comment": Param("", type="string", description="why"), "plain": 5}, notifiers=[Tell()],
    )  # fmt: skip
    HITLOperator(task_id="many", subject="Some", options=["a", "b", "c"], defaults=["a", "c"], multiple=True)
    HITLOperator(task_id="one_of_many", subject="Two of one", options=["a", "b"])
    HITLOperator(task_id="unknown_option", subject="None of them", options=["a", "b"])
    HITLOperator(task_id="bad_params", subject="Too much", options=["ok"], params=COUNT)
    HITLOperator(task_id="other_params", subject="Not asked", options=["ok"], params=COUNT)
    HITLOperator(task_id="good_params", subject="Enough", options=["ok"], params=COUNT)
    ApprovalOperator(task_id="for_me", subject="Mine?", assigned_users={"id": "admin", "name": "Admin"})
    ApprovalOperator(task_id="for_others", subject="Theirs?", assigned_users=OTHERS)
    ApprovalOperator(task_id="approve", subject="Release?") >> EmptyOperator(task_id="after_approve")
    after_reject = EmptyOperator(task_id="after_reject")
    always = EmptyOperator(task_id="always", trigger_rule="all_done")
    ApprovalOperator(task_id="reject", subject="Delete?") >> after_reject >> always
    after_reject_all = EmptyOperator(task_id="after_reject_all")
    never = EmptyOperator(task_id="never", trigger_rule="all_done")
    reject_all = ApprovalOperator(task_id="reject_all", subject="All?", ignore_downstream_trigger_rules=True)
    reject_all >> after_reject_all >> never
    ApprovalOperator(task_id="fail", subject="Fail?", fail_on_reject=True)
    branch = HITLBranchOperator(
        task_id="branch", subject="Where?", options=["to the left", "right", "up"], multiple=True,
        options_mapping={"to the left": "left"},
    )  # fmt: skip
    branch >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right"), EmptyOperator(task_id="up")]
    HITLEntryOperator(task_id="enter", subject="Number?", params=COUNT)
    HITLEntryOperator(task_id="entry_default", subject="Number?", params=COUNT, response_timeout=SHORT)
    HITLOperator(task_id="too_late", subject="Late?", options=["ok"], response_timeout=SHORT)
    again = ApprovalOperator(
        task_id="again", subject="Again?", response_timeout=SHORT, retries=1, retry_delay=timedelta(0)
    )
    choose >> again
    HITLOperator.partial(task_id="mapped", options=["ok", "no"]).expand(subject=["first", "second"])
