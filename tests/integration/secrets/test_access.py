"""Tasks get the connections and variables their project declares, and hear in their log why they do not get others."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leoflow.config import SecretsSettings
from leoflow.crypto import SecretBox
from leoflow.secrets.connections import seal
from tests.integration.worker.harness import Harness, running
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio

TRY = """
def trying(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__
"""


@pytest.fixture(scope="module")
async def declared(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    """A worker as in a cluster, with connections and variables in the database and in its environment."""
    home = tmp_path_factory.mktemp("declared") / "home"
    settings = SecretsSettings(access="declared", shared_connections=["smtp_*"], shared_variables=["region"])
    with pytest.MonkeyPatch.context() as patch, server.database(template) as dsn:
        for name in ("MINE", "OTHER", "REGION"):
            patch.setenv(f"AIRFLOW_VAR_ENV_{name}", f"env {name.lower()}")
        patch.setenv("AIRFLOW_CONN_ENV_MINE", "http://user:env-pass@host")
        patch.setenv("AIRFLOW_CONN_ENV_OTHER", "http://user:env-pass@host")
        async with running(dsn, home, secrets=settings) as started:
            await store_secrets(started)
            yield started


async def store_secrets(harness: Harness) -> None:
    box = SecretBox.load_or_create(harness.home)
    for name in ("mine", "other", "region", "team_a", "team_b"):
        await harness.fetch(
            "insert into leoflow_core.variable (key, value) values (%s, %s) returning 1", name, box.encrypt(f"v {name}")
        )
    for name in ("db", "other", "smtp_default"):
        await harness.fetch(
            "insert into leoflow_core.connection (connection_id, conn_type, sealed) values (%s, 'http', %s)"
            " returning 1",
            name,
            seal(box, {"host": "h", "port": 80, "password": f"pass of {name}"}),
        )


async def test_a_task_gets_what_its_project_declares_and_nothing_else(declared: Harness) -> None:
    await declared.register(
        f"""
from airflow.sdk import BaseHook, Connection, Variable
{TRY}
with DAG("declaring") as dag:
    @task
    def look():
        return {{
            "mine": Variable.get("mine"), "pattern": Variable.get("team_a"), "shared": Variable.get("region"),
            "db": Connection.get("db").password, "shared connection": Connection.get("smtp_default").host,
            "env": Variable.get("env_mine"), "env connection": Connection.get("env_mine").password,
            "other": trying(lambda: Variable.get("other", default="fell back")),
            "none": trying(lambda: Variable.get("does_not_exist", default="fell back")),
            "other connection": trying(lambda: Connection.get("other")),
            "hook": trying(lambda: BaseHook.get_connection("other")),
            "env other": trying(lambda: Variable.get("env_other", default="fell back")),
            "environment": sorted(name for name in os.environ if name.startswith(("AIRFLOW_VAR", "AIRFLOW_CONN"))),
        }}
    look()
""",
        name="declaring",
        yaml="""
        connections: [db, env_mine]
        variables: [mine, "team_*", env_mine]
        """,
    )
    run = await declared.run("declaring")
    assert run.xcoms[("look", "return_value")] == {
        "mine": "v mine",
        "pattern": "v team_a",
        "shared": "v region",
        "db": "pass of db",
        "shared connection": "h",
        "env": "env mine",
        "env connection": "env-pass",
        "other": "AirflowSecretsBackendAccessDenied",
        "none": "AirflowSecretsBackendAccessDenied",
        "other connection": "AirflowSecretsBackendAccessDenied",
        "hook": "AirflowSecretsBackendAccessDenied",
        "env other": "AirflowSecretsBackendAccessDenied",
        "environment": ["AIRFLOW_CONN_ENV_MINE", "AIRFLOW_VAR_ENV_MINE"],
    }
    said = run.messages("look")
    assert said.count("The task asked for the variable 'other' and was refused") == 1
    assert "`connections:` in the leoflow.yaml beside dag.py" in said
    assert 'executor_config={"leoflow": {"variables": ["other"]}}' in said
    audited = await declared.fetch(
        "select event, extra ->> 'name', task_id, owner from leoflow.audit_log"
        " where dag_id = 'declaring' and event like 'refuse%%' order by event_log_id"
    )
    assert audited == [
        ("refuse_variable", "other", "look", "task"),
        ("refuse_variable", "does_not_exist", "look", "task"),
        ("refuse_connection", "other", "look", "task"),
        ("refuse_variable", "env_other", "look", "task"),
    ]


async def test_what_is_not_declared_cannot_be_written_either(declared: Harness) -> None:
    await declared.register(
        """
from airflow.sdk import Variable
with DAG("writing") as dag:
    @task
    def write():
        Variable.set("mine", "written")
        Variable.set("other", "stolen")  # the SDK logs the refusal and goes on
        Variable.delete("team_a")
    write()
""",
        name="writing",
        yaml="variables: [mine]",
    )
    before = dict(await declared.fetch("select key, value from leoflow_core.variable"))
    run = await declared.run("writing")
    after = dict(await declared.fetch("select key, value from leoflow_core.variable"))
    assert {key for key in before if after.get(key) != before[key]} == {"mine"}
    assert SecretBox.load_or_create(declared.home).decrypt(after["mine"]) == "written"
    assert "neither its project nor its DAG declares it" in str(run.logs)
    assert run.messages("write").count("and was refused") == 2


async def test_a_project_that_declares_nothing_gets_only_what_is_shared(declared: Harness) -> None:
    await declared.register(
        f"""
from airflow.sdk import Connection, Variable
{TRY}
with DAG("silent") as dag:
    @task
    def look():
        return [trying(lambda: Variable.get("mine")), trying(lambda: Connection.get("db")), Variable.get("region")]
    look()
    @task
    def template(text): return text
    template("{{{{ var.value.get('mi' ~ 'ne') }}}}")
""",
        name="silent",
    )
    run = await declared.run("silent")
    assert run.xcoms == {("look", "return_value"): ["AirflowSecretsBackendAccessDenied"] * 2 + ["v region"]}
    assert run.tasks["template"].state == "failed"
    assert "asked for the variable 'mine' and was refused" in run.messages("template")


async def test_what_the_dag_itself_names_is_declared(declared: Harness) -> None:
    await declared.register(
        f"""
from airflow.sdk import BaseOperator, Connection, Variable
{TRY}
class Ask(BaseOperator):
    template_fields = ("text",)
    def __init__(self, *, text, db_conn_id, **kwargs):
        super().__init__(**kwargs)
        self.text, self.db_conn_id = text, db_conn_id
    def execute(self, context):
        return [self.text, Connection.get(self.db_conn_id).password, trying(lambda: Variable.get("other"))]
with DAG("naming") as dag:
    Ask(task_id="ask", text="{{{{ var.value.team_b }}}} {{{{ conn.smtp_default.host }}}}", db_conn_id="db")
    @task(executor_config={{"leoflow": {{"variables": ["team_*"]}}}})
    def explicit():
        return Variable.get("team_a")
    explicit()
""",
        name="naming",
    )
    run = await declared.run("naming")
    assert run.xcoms == {
        ("ask", "return_value"): ["v team_b h", "pass of db", "AirflowSecretsBackendAccessDenied"],
        ("explicit", "return_value"): "v team_a",
    }


async def test_the_environment_and_a_secrets_backend_of_the_project_work(
    database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_FROM_WORKER", "from the worker")
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "vault.Boxed")
    monkeypatch.setenv("AIRFLOW_CONN_FROM_WORKER", '{"conn_type": "http", "password": "json-pass", "extra": {"a": 1}}')
    async with running(database_url, home) as harness:
        await store_secrets(harness)
        project = harness.home.parent / "backend"
        project.mkdir(parents=True)
        (project / "vault.py").write_text("""
from airflow.sdk.definitions.connection import Connection
try:
    from airflow.secrets import BaseSecretsBackend
except ImportError:
    from airflow.sdk.bases.secrets_backend import BaseSecretsBackend
from airflow.sdk.bases.xcom import BaseXCom
class Boxed(BaseXCom):
    @staticmethod
    def serialize_value(value, **_): return {"boxed": value}
class Vault(BaseSecretsBackend):
    def __init__(self, prefix="", **kwargs):
        super().__init__()
        self.prefix = prefix
    def get_conn_value(self, conn_id, team_name=None):
        return f"http://:vault-secret@{conn_id}" if conn_id.startswith("vault") else None
    def get_variable(self, key, team_name=None):
        return f"{self.prefix}{key}" if key.startswith("vault") else None
""")
        await harness.register(
            """
from airflow.sdk import Connection, Variable
with DAG("backend") as dag:
    @task
    def plain():
        worker = Connection.get("from_worker")
        return [Variable.get("from_worker"), worker.password, worker.extra_dejson, Variable.get("from_yaml")]
    plain()
    @task
    def custom():
        found = Connection.get("vault_db")
        print("the password is", found.password)
        return [found.host, Variable.get("vault_x"), Variable.get("mine"), Connection.get("db").password]
    custom()
""",
            name="backend",
            yaml="""
            tasks:
              plain:
                env: {AIRFLOW_VAR_FROM_YAML: "from leoflow.yaml"}
              custom:
                env:
                  AIRFLOW__SECRETS__BACKEND: vault.Vault
                  AIRFLOW__SECRETS__BACKEND_KWARGS: '{"prefix": "in "}'
            """,
        )
        run = await harness.run("backend")
    assert run.state == "success", run.logs
    values = ["from the worker", "json-pass", {"a": 1}, "from leoflow.yaml"]
    assert run.xcoms[("plain", "return_value")] == {"boxed": values}
    assert run.xcoms[("custom", "return_value")] == {"boxed": ["vault_db", "in vault_x", "v mine", "pass of db"]}
    assert "the password is ***" in run.messages("custom")
