"""DAGs with maps that end in states one would not guess; run by Airflow for the truth and by Leoflow for comparison.

A DAG whose name ends in `_again` is run, cleared as a whole, or only the tasks named `…_alone` if there are some, and
run again; `first_or` gives different values then.
"""

import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, get_current_context, setup, task, task_group, teardown
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException


def first_or(first, later):
    """One value in the first try, another in later ones."""
    return first if get_current_context()["ti"].try_number == 1 else later


@task
def make(length):
    return list(range(length))


@task
def make_again(first, later):
    return list(range(first_or(first, later)))


@task
def nothing():
    return None


@task
def fail():
    raise AirflowFailException("as asked")


@task
def skip():
    raise AirflowSkipException("as asked")


@task
def double(x):
    return x * 2


@task
def odd_fails(x):
    if x % 2:
        raise AirflowFailException("odd")
    return x


@task
def odd_skips(x):
    if x % 2:
        raise AirflowSkipException("odd")
    return x


@task
def total(xs):
    return [x for x in xs if x is not None]


@task
def pair(a, b):
    return [a, b]


RULES = (
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_skipped",
    "one_failed",
    "one_success",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
)

with DAG("map_over_a_result"):
    total(double.expand(x=make(3)))

with DAG("map_over_literals"):
    total(pair.partial(a=1).expand(b=[2, 3]))

with DAG("cross_product"):
    total(pair.expand(a=make(2), b=["x", "y", "z"]))

with DAG("map_over_a_dict"):

    @task
    def settings():
        return {"a": 1, "b": 2}

    @task
    def show(item):
        return list(item)

    total(show.expand(item=settings()))

with DAG("expand_kwargs"):

    @task
    def kwargs():
        return [{"a": 1, "b": 2}, {"a": 3, "b": 4}]

    total(pair.expand_kwargs(kwargs()))

with DAG("expand_kwargs_over_literals"):
    total(pair.expand_kwargs([{"a": 1, "b": 2}, {"a": 3, "b": 4}]))

with DAG("transformed"):

    def not_one(x):
        if x == 1:
            raise AirflowSkipException("not one")
        return x + 10

    zipped = make.override(task_id="left")(3).zip(make.override(task_id="right")(2))
    longest = make.override(task_id="l")(3).zip(make.override(task_id="r")(2), fillvalue="-")
    both = make.override(task_id="c1")(2).concat(make.override(task_id="c2")(1))
    total.override(task_id="mapped_total")(
        double.override(task_id="mapped").expand(x=make.override(task_id="m")(3).map(not_one))
    )
    total.override(task_id="zipped_total")(double.override(task_id="zipped").expand(x=zipped))
    total.override(task_id="longest_total")(double.override(task_id="longest").expand(x=longest))
    total.override(task_id="concat_total")(double.override(task_id="concat").expand(x=both))

with DAG("map_over_mapped_output"):
    total(double.override(task_id="again").expand(x=double.expand(x=make(3))))

with DAG("map_over_partly_failed_output"):
    total(double.override(trigger_rule="all_done").expand(x=odd_fails.expand(x=make(4))))

with DAG("map_over_partly_skipped_output"):
    total.override(trigger_rule="none_failed")(
        double.override(trigger_rule="none_failed").expand(x=odd_skips.expand(x=make(4)))
    )

with DAG("map_over_nothing"):
    mapped = double.expand(x=make(0))
    total(mapped)
    total.override(task_id="done", trigger_rule="all_done")(mapped)
    mapped >> EmptyOperator(task_id="none_failed", trigger_rule="none_failed")

with DAG("map_over_an_empty_literal"):
    total(double.expand(x=[]))

with DAG("map_over_none"):
    total(double.expand(x=nothing()))

for kind in (fail, skip):
    with DAG(f"map_over_a_task_that_{kind.function.__name__}s"):
        before = kind()
        for rule in RULES:
            mapped = double.override(task_id=f"m_{rule}", trigger_rule=rule).expand(x=before)
            mapped >> EmptyOperator(task_id=f"after_{rule}", trigger_rule="all_done")

for what in (odd_fails, odd_skips, double):
    with DAG(f"rules_after_{what.function.__name__}"):
        mapped = what.expand(x=make(3))
        for rule in (*RULES, "always"):
            mapped >> EmptyOperator(task_id=rule, trigger_rule=rule)

with DAG("mapped_classic_operator"):
    BashOperator.partial(task_id="echo").expand(bash_command=["echo 1", "echo 2; exit 1", "exit 99"])


@task_group
def two_steps(x):
    return double.override(task_id="second")(double.override(task_id="first")(x))


with DAG("mapped_group"):
    total(two_steps.expand(x=make(3)))

with DAG("mapped_group_over_literals"):
    total(two_steps.expand(x=[1, 2]))

with DAG("mapped_group_over_nothing"):
    total(two_steps.expand(x=make(0)))

with DAG("mapped_group_over_a_failed_task"):
    total.override(trigger_rule="all_done")(two_steps.expand(x=fail()))

with DAG("mapped_group_with_failures"):

    @task_group
    def work(x):
        tried = odd_fails(x)
        double.override(task_id="after")(tried)
        for rule in RULES:
            tried >> EmptyOperator(task_id=rule, trigger_rule=rule)

    work.expand(x=make(3)) >> EmptyOperator(task_id="end", trigger_rule="all_done")

with DAG("mapped_group_with_two_starts"):
    slow = EmptyOperator(task_id="slow")

    @task_group
    def starts(x):
        one = double.override(task_id="one")(x)
        other = double.override(task_id="other")(x)
        slow >> other
        pair.override(task_id="both")(one, other)

    starts.expand(x=make(2))

with DAG("mapped_group_whose_second_start_is_held"):
    held = fail.override(task_id="held")()

    @task_group
    def halves(x):
        one = double.override(task_id="one")(x)
        other = double.override(task_id="other")(x)
        held >> other
        pair.override(task_id="both", trigger_rule="all_done")(one, other)

    halves.expand(x=make(2))

with DAG("mapped_group_with_a_subgroup"):

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            return double.override(task_id="in")(y)

        value = inner(double.override(task_id="out")(x))
        odd = odd_fails(x)
        odd >> EmptyOperator(task_id="rescue", trigger_rule="one_failed")
        return value

    total(outer.expand(x=make(2)))

with DAG("group_output_in_another_group"):
    values = two_steps.override(group_id="g1").expand(x=make.override(task_id="m1")(2))

    @task_group
    def second(x, all_of_them):
        pair(x, all_of_them)

    second.override(group_id="g2").partial(all_of_them=values).expand(x=["a", "b"])

with DAG("map_over_the_output_of_a_group"):
    total(double.override(task_id="outside").expand(x=two_steps.expand(x=make(2))))

with DAG("branch_before_a_map"):

    @task.branch
    def choose():
        return "chosen"

    start = choose()
    start >> double.override(task_id="chosen").expand(x=make.override(task_id="m1")(2))
    start >> double.override(task_id="other").expand(x=make.override(task_id="m2")(2))
    start >> double.override(task_id="other_literal").expand(x=[1, 2])

with DAG("branch_in_a_mapped_group"):

    @task_group
    def forks(x):
        @task.branch
        def choose(value):
            return "forks.even" if value % 2 == 0 else "forks.odd"

        choose(x) >> [EmptyOperator(task_id="even"), EmptyOperator(task_id="odd")]

    forks.expand(x=make(3))

with DAG("mapped_branch"):

    @task.branch
    def pick(value):
        return "left" if value % 2 == 0 else "right"

    picked = pick.expand(value=make(2))
    picked >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]

with DAG("mapped_branch_of_mapped_tasks"):

    @task.branch
    def turn(value):
        return "even" if value % 2 == 0 else "odd"

    turned = turn.expand(value=make(4))
    evens = double.override(task_id="even").expand(x=[0, 1, 2, 3])
    odds = double.override(task_id="odd").expand(x=make.override(task_id="numbers")(4))
    turned >> [evens, odds, EmptyOperator(task_id="plain")]
    turned >> double.override(task_id="fewer").expand(x=[0, 1])
    turned >> double.override(task_id="more").expand(x=[0, 1, 2, 3, 4])
    turned >> double.override(task_id="any", trigger_rule="all_done").expand(x=[0, 1])
    [evens, odds] >> EmptyOperator(task_id="after")
    [evens, odds] >> EmptyOperator(task_id="after_some", trigger_rule="none_failed_min_one_success")

with DAG("mapped_branch_that_fails_somewhere"):

    @task.branch
    def half(value):
        if value == 1:
            raise AirflowFailException("as asked")
        return "good"

    halves = half.expand(value=[0, 1, 2])
    halves >> double.override(task_id="good", trigger_rule="all_done").expand(x=[0, 1, 2])
    halves >> double.override(task_id="bad", trigger_rule="all_done").expand(x=[0, 1, 2])
    halves >> double.override(task_id="strict").expand(x=[0, 1, 2])

for ignore in (True, False):
    with DAG(f"mapped_short_circuit_{'to_the_end' if ignore else 'by_rules'}"):

        @task.short_circuit(ignore_downstream_trigger_rules=ignore)
        def pass_on(value):
            return value % 2 == 0

        passed = pass_on.expand(value=make(3))
        following = double.override(task_id="following").expand(x=[0, 1, 2])
        passed >> following >> EmptyOperator(task_id="last", trigger_rule="all_done")
        found = double.override(task_id="found").expand(x=make.override(task_id="numbers")(3))
        passed >> found >> EmptyOperator(task_id="end", trigger_rule="none_failed")
        passed >> EmptyOperator(task_id="plain")

with DAG("branch_to_a_mapped_group"):

    @task.branch
    def choose_group():
        return "taken"

    chosen = choose_group()
    chosen >> two_steps.override(group_id="taken").expand(x=make(2))
    chosen >> two_steps.override(group_id="left").expand(x=make.override(task_id="numbers")(2))
    chosen >> two_steps.override(group_id="left_literal").expand(x=[1, 2])

with DAG("branch_left_again"):

    @task.branch
    def go_left():
        return "left"

    gone = go_left()
    gone >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right_alone")]
    gone >> double.override(task_id="mapped_alone").expand(x=[1, 2]) >> EmptyOperator(task_id="then_alone")

with DAG("mapped_branch_left_again"):

    @task.branch
    def lean(value):
        return ["left_alone"] if value == 0 else ["right_alone"]

    leaned = lean.expand(value=[0, 1, 2])
    for side in ("left_alone", "right_alone"):
        leaned >> double.override(task_id=side).expand(x=[0, 1, 2]) >> EmptyOperator(task_id=f"after_{side}")

with DAG("short_circuit_left_again"):

    @task.short_circuit
    def stop():
        return False

    stop() >> EmptyOperator(task_id="next_alone") >> EmptyOperator(task_id="last_alone")

with DAG("short_circuit_in_a_mapped_group"):

    @task_group
    def maybe(x):
        @task.short_circuit
        def go_on(value):
            return value % 2 == 0

        go_on(x) >> EmptyOperator(task_id="next") >> EmptyOperator(task_id="last", trigger_rule="all_done")

    maybe.expand(x=make(3)) >> EmptyOperator(task_id="after", trigger_rule="all_done")

with DAG("mapped_setup_and_teardown"):

    @setup
    def up(x):
        if x == 1:
            raise AirflowFailException("no")
        return x

    @teardown
    def down(x):
        return x

    start = up.expand(x=make(2))
    end = down.expand(x=start)
    with end:
        double.override(task_id="inside")(5)

with DAG("setup_and_teardown_in_a_mapped_group"):

    @task_group
    def scoped(x):
        @setup
        def up(value):
            if value == 1:
                raise AirflowFailException("no")

        @teardown
        def down(value):
            return value

        first = up(x)
        last = down(x)
        first >> double.override(task_id="a")(x) >> double.override(task_id="b")(x) >> last
        first >> last

    scoped.expand(x=make(2))

with DAG("fail_fast", fail_fast=True):
    odd_fails.expand(x=make(3)) >> EmptyOperator(task_id="after")

with DAG("retried"):

    @task(retries=1, retry_delay=datetime.timedelta(0))
    def flaky(x):
        if x == 1 and get_current_context()["ti"].try_number == 1:
            raise ValueError("the first time")
        return x

    total(flaky.expand(x=make(3)))

with DAG("labels"):

    @task(map_index_template="{{ name }}")
    def named(x):
        get_current_context()["name"] = f"number {x}"
        return x

    named.expand(x=make(2))

with DAG("grown_again"):
    total(double.expand(x=make_again(2, 4)))

with DAG("shrunk_again"):
    total(double.expand(x=make_again(4, 2)))

with DAG("shrunk_to_nothing_again"):
    total(double.expand(x=make_again(2, 0)))

with DAG("grown_from_nothing_again"):
    total(double.expand(x=make_again(0, 2)))

with DAG("shrunk_then_all_done_again"):
    double.expand(x=make_again(4, 2)) >> EmptyOperator(task_id="done", trigger_rule="all_done")

with DAG("group_grown_again"):
    total(two_steps.expand(x=make_again(1, 3)))

with DAG("group_shrunk_again"):
    total(two_steps.expand(x=make_again(3, 2)))

with DAG("map_over_shrunk_output_again"):
    total(double.override(task_id="second").expand(x=double.expand(x=make_again(3, 2))))
