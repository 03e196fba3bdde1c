"""DAGs in which it is not plain what clearing or marking a task takes with it; read by Airflow for the truth."""

from datetime import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task, task_group

DAILY = {"schedule": "0 0 * * *", "start_date": datetime(2026, 1, 1)}


@task
def one(x):
    return x


def empty(name):
    return EmptyOperator(task_id=name)


with DAG("mapped", **DAILY):
    first, last = empty("first"), empty("last")
    trial = one.override(task_id="trial").expand(x=[1, 2, 3])
    score = one.override(task_id="score").expand(x=[4, 5])

    @task_group
    def work(x):
        read = one.override(task_id="read")(x)
        left, right = one.override(task_id="left")(read), one.override(task_id="right")(read)

        @task_group
        def inner(y):
            one.override(task_id="deep")(y)

        [left, right] >> one.override(task_id="join")(x)
        inner(left)

    whole = work.expand(x=[1, 2, 3])

    @task_group
    def other(x):
        one.override(task_id="begin")(x) >> one.override(task_id="end")(x)

    first >> trial >> whole >> score >> last
    first >> empty("aside") >> last
    whole >> other.expand(x=[1, 2])

with DAG("nested_maps", **DAILY):

    @task_group
    def rows(x):
        begin = one.override(task_id="begin")(x)

        @task_group
        def cells(y):
            one.override(task_id="deeper")(one.override(task_id="deep")(y))

        @task_group
        def others(z):
            one.override(task_id="aside")(z)

        wide = others.expand(z=[1, 2, 3])
        begin >> cells.expand(y=[1, 2]) >> wide >> one.override(task_id="end")(x)

    empty("first") >> rows.expand(x=[1, 2]) >> empty("last")

with DAG("scopes", **DAILY):
    before, after = empty("before"), empty("after")
    up, down = empty("up").as_setup(), empty("down").as_teardown()
    up2, down2 = empty("up2").as_setup(), empty("down2").as_teardown()
    alone = empty("alone").as_setup()
    a, b, c, d = (empty(name) for name in "abcd")
    before >> up >> a >> b >> down >> after
    up >> down
    up2 >> [b, c] >> down2
    up2 >> down2
    alone >> c >> d >> after
    a >> c

with DAG("nested_scopes", **DAILY):
    outer_up, outer_down = empty("outer_up").as_setup(), empty("outer_down").as_teardown()
    inner_up, inner_down = empty("inner_up").as_setup(), empty("inner_down").as_teardown()
    outer_up >> inner_up >> empty("work") >> inner_down >> empty("rest") >> outer_down
    outer_up >> outer_down
    inner_up >> inner_down

with DAG("mapped_scopes", **DAILY):

    @task_group
    def scoped(x):
        up = one.override(task_id="up")(x).as_setup()
        down = one.override(task_id="down")(x).as_teardown(setups=up)
        up >> one.override(task_id="a")(x) >> one.override(task_id="b")(x) >> down

    shared_up, shared_down = empty("shared_up").as_setup(), empty("shared_down").as_teardown()
    group = scoped.expand(x=[1, 2])
    shared_up >> group >> one.override(task_id="reduce").expand(x=[7, 8]) >> shared_down
    shared_up >> shared_down
    group >> empty("end")
