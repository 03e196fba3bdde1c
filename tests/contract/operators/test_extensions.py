"""What projects add to Airflow: callbacks, notifiers, operators, links, plugins with macros and listeners."""

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio


async def test_callbacks_of_tasks_run_beside_the_task(harness: Harness, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    await harness.register(f"""
    from airflow.sdk import BaseNotifier
    def note(kind):
        def callback(context):
            with open({str(notes)!r}, "a") as file:
                print(context["ti"].task_id, kind, type(context.get("exception")).__name__, file=file)
        return callback
    class Note(BaseNotifier):
        template_fields = ("text",)
        def __init__(self, text):
            super().__init__()
            self.text = text
        def notify(self, context):
            with open({str(notes)!r}, "a") as file: print(self.text, file=file)
    every = {{f"on_{{kind}}_callback": note(kind) for kind in ("execute", "success", "failure", "retry", "skipped")}}
    with DAG("callbacks") as dag:
        @task(**every)
        def good(): pass
        @task(retries=1, retry_delay=timedelta(0), **every)
        def bad(): raise KeyError("x")
        @task(**every)
        def skips():
            from airflow.sdk.exceptions import AirflowSkipException
            raise AirflowSkipException
        @task(on_success_callback=[Note("{{{{ ti.task_id }}}} of {{{{ dag.dag_id }}}}"), note("second")])
        def notified(): pass
        @task(on_success_callback=lambda context: 1 / 0)
        def careless(): pass
        good(); bad(); skips(); notified(); careless()
    """)
    run = await harness.run("callbacks")
    lines = notes.read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("good")) == [
        "good execute NoneType",
        "good success NoneType",
    ]
    assert [line for line in lines if line.startswith("bad")] == [
        "bad execute NoneType",
        "bad retry KeyError",
        "bad execute NoneType",
        "bad failure KeyError",
    ]
    assert "skips skipped NoneType" in lines
    assert "notified of callbacks" in lines
    assert "notified second NoneType" in lines
    assert run.tasks["careless"].state == "success"
    assert "ZeroDivisionError" in str(run.logs["careless"])


async def test_operators_and_links_of_the_project(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk import BaseOperator, BaseOperatorLink
    class Docs(BaseOperatorLink):
        name = "Docs & more"
        def get_link(self, operator, *, ti_key): return f"https://example.test/{ti_key.task_id}/{operator.subject}"
    class Greet(BaseOperator):
        template_fields = ("subject",)
        operator_extra_links = (Docs(),)
        ui_color = "#123456"
        def __init__(self, subject, **options):
            super().__init__(**options)
            self.subject = subject
        def pre_execute(self, context): self.log.info("before")
        def execute(self, context):
            context["ti"].xcom_push("also", self.subject)
            return f"hello {self.subject}"
        def post_execute(self, context, result=None): self.log.info("after")
    with DAG("custom", params={"who": "you"}) as dag:
        Greet(task_id="greet", subject="{{ params.who }}")
    """)
    run = await harness.run("custom")
    assert run.xcoms[("greet", "return_value")] == "hello you"
    assert run.xcoms[("greet", "also")] == "you"
    assert run.xcoms[("greet", "_link_Docs")] == "https://example.test/greet/you"
    described = await harness.fetch(
        "select spec -> 'extra_links', spec -> 'extra_link_keys' from leoflow_core.task where task_id = 'greet'"
    )
    assert described == [(["Docs & more"], {"Docs & more": "_link_Docs"})]
    assert "before" in run.messages("greet")
    assert "after" in run.messages("greet")


PLUGIN = """
from pathlib import Path
from airflow.sdk.plugins_manager import AirflowPlugin
from airflow.listeners import hookimpl
import helper_of_plugins

def loudly(text): return helper_of_plugins.loud(text)

class Listener:
    @hookimpl
    def on_task_instance_running(self, previous_state, task_instance):
        Path({notes!r}).open("a").write(f"running {{task_instance.task_id}}\\n")
    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        Path({notes!r}).open("a").write(f"success {{task_instance.task_id}}\\n")
    @hookimpl
    def on_task_instance_failed(self, previous_state, task_instance, error):
        Path({notes!r}).open("a").write(f"failed {{task_instance.task_id}} {{type(error).__name__}}\\n")

class Ours(AirflowPlugin):
    name = "ours"
    macros = [loudly]
    listeners = [Listener()]
"""


async def test_plugins_beside_the_dag_file(harness: Harness, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    folder = harness.home.parent / "plugged" / "plugins"
    folder.mkdir(parents=True)
    (folder / "helper_of_plugins.py").write_text("def loud(text): return text.upper() + '!'\n")
    (folder / "ours.py").write_text(PLUGIN.format(notes=str(notes)))
    (folder / "broken.py").write_text("import no_such_module_of_plugins\n")
    source = """
    from airflow.providers.standard.operators.bash import BashOperator
    with DAG("plugged") as dag:
        BashOperator(task_id="shout", bash_command="echo {{ macros.ours.loudly('hey') }}")
        @task
        def fails(): raise ValueError("no")
        fails()
    """
    await harness.register(source, "plugged", yaml="dag_source: dag.py\n")
    run = await harness.run("plugged")
    assert run.xcoms[("shout", "return_value")] == "HEY!"
    assert sorted(notes.read_text().splitlines()) == [
        "failed fails ValueError",
        "running fails",
        "running shout",
        "success shout",
    ]
    [remark] = harness.remarks["plugged"]
    assert remark.startswith("plugins/broken.py:1: this plugin cannot be loaded")
    assert "no_such_module_of_plugins" in remark


async def test_variables_and_connections_from_the_store_and_the_environment(harness: Harness) -> None:
    await harness.register(
        """
    from airflow.sdk import Connection, Variable
    with DAG("settings") as dag:
        @task
        def use():
            Variable.set("made", {"a": [1]}, serialize_json=True)
            made = Variable.get("made", deserialize_json=True)
            Variable.delete("made")
            try: Variable.get("made")
            except KeyError as error: gone = type(error).__name__
            except Exception as error: gone = type(error).__name__
            there = Connection.get("from_env")
            return [made, Variable.get("made", default="gone"), gone, Variable.get("from_env"), there.host, there.port]
        use()
    """,
        "settings",
        yaml="""
        tasks:
          use:
            env:
              AIRFLOW_VAR_FROM_ENV: seen
              AIRFLOW_CONN_FROM_ENV: "http://u:p@example.test:81"
        """,
    )
    run = await harness.run("settings")
    assert run.state == "success", run.logs
    made, gone, kind, variable, host, port = run.xcoms[("use", "return_value")]
    assert (made, gone, variable, host, port) == ({"a": [1]}, "gone", "seen", "example.test", 81)
    assert kind in ("KeyError", "AirflowRuntimeError")


async def test_setup_and_teardown_frame_the_work(harness: Harness) -> None:
    await harness.register("""
    from airflow.sdk import setup, teardown
    with DAG("framed") as dag:
        @setup
        def make(): return "cluster"
        @task
        def work(name): raise ValueError(name)
        @teardown
        def drop(name): return f"dropped {name}"
        name = make()
        with drop(name) as _:
            work(name)
    """)
    run = await harness.run("framed")
    assert run.state == "failed"
    assert run.xcoms[("drop", "return_value")] == "dropped cluster"


class MailServer(socketserver.StreamRequestHandler):
    """Takes every mail."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            self.wfile.write({b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(command, b"250 ok\r\n"))
            if command == b"DATA":
                mail = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append(mail.decode())  # type: ignore[attr-defined]
                self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def mails() -> Iterator[tuple[int, list[str]]]:
    """The port of a mail server, and what it was given."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        server.mails = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], server.mails  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


async def test_a_failure_is_mailed(harness: Harness, mails: tuple[int, list[str]]) -> None:
    port, received = mails
    plain = {"disable_ssl": True, "disable_tls": True}
    connection = json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": plain})
    await harness.register(
        """
    with DAG("mailing", default_args={"email": "me@example.test"}) as dag:
        @task
        def fails(): raise ValueError("the <reason>")
        fails()
    """,
        "mailing",
        yaml=f"tasks: {{fails: {{env: {{AIRFLOW_CONN_SMTP_DEFAULT: '{connection}'}}}}}}",
    )
    run = await harness.run("mailing", run_id="r")
    assert run.state == "failed"
    [mail] = received
    assert "To: me@example.test" in mail and "fails" in mail
    assert not [remark for remark in harness.remarks["mailing"] if "is ignored" in remark]
    declared = "select spec -> 'connections' from leoflow_core.dag_version join leoflow_core.dag using (dag_key)"
    assert await harness.fetch(f"{declared} where dag_id = 'mailing'") == [(["smtp_default"],)]
