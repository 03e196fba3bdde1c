"""DAGs with mapped groups inside mapped groups; run by Airflow for the truth and by Leoflow for comparison."""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, get_current_context, setup, task, task_group, teardown
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

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


@task
def make(length):
    return list(range(length))


@task
def make_again(first, later):
    return list(range(first if get_current_context()["ti"].try_number == 1 else later))


@task
def fail():
    raise AirflowFailException("as asked")


@task
def double(x):
    return None if x is None else x * 2


@task
def pair(a, b):
    return [a, b]


@task
def fails_at(x, places):
    if get_current_context()["ti"].map_index in places:
        raise AirflowFailException("as asked")
    return x


@task
def skips_at(x, places):
    if get_current_context()["ti"].map_index in places:
        raise AirflowSkipException("as asked")
    return x


@task
def total(xs):
    return list(xs)


def product(inner_values, rule="all_success"):
    """A group that makes a pair of its value and each of `inner_values`."""

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            return pair.override(trigger_rule=rule)(x, y)

        return inner.expand(y=inner_values)

    return outer


with DAG("nested_over_literals"):
    total(product([10, 20, 30]).expand(x=[1, 2]))

with DAG("nested_of_equal_lengths"):
    total(product([10, 20]).expand(x=[1, 2]))

with DAG("nested_over_results"):
    total(product(make.override(task_id="rows")(3)).expand(x=make.override(task_id="columns")(2)))

with DAG("nested_over_a_result_inside"):

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            return pair(x, y)

        return inner.expand(y=make(x))

    total(outer.expand(x=[1, 2]))

with DAG("nested_over_a_result_inside_nothing"):

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            return pair(x, y)

        return inner.expand(y=make(x))

    total(outer.expand(x=make.override(task_id="none")(0)))

with DAG("nested_in_nothing"):
    product([10, 20]).expand(x=make(0)) >> EmptyOperator(task_id="after", trigger_rule="all_done")

with DAG("nested_in_an_empty_literal"):
    product([10, 20]).expand(x=[]) >> EmptyOperator(task_id="after", trigger_rule="all_done")


def around_nothing(values, places=()):
    """A group with another one over `values` in its middle; what is before that fails at `places`."""

    @task_group
    def outer(x):
        before = fails_at.override(task_id="before")(x, places) if places else double.override(task_id="before")(x)

        @task_group
        def inner(y):
            pair(before, y)

        inner.expand(y=values) >> double.override(task_id="after", trigger_rule="all_done")(x)

    return outer


with DAG("nested_over_nothing_in_a_literal"):
    around_nothing([]).expand(x=[1, 2])

with DAG("nested_over_nothing_in_a_result"):
    around_nothing(make.override(task_id="nothing")(0)).expand(x=[1, 2])

with DAG("nested_over_nothing_in_a_literal_after_a_failure"):
    around_nothing([], places=[1]).expand(x=make(2))

with DAG("nested_over_nothing_in_a_result_after_a_failure"):
    around_nothing(make.override(task_id="nothing")(0), places=[1]).expand(x=make(2))

with DAG("nested_steps"):

    @task_group
    def outer(x):
        before = double.override(task_id="before")(x)

        @task_group
        def inner(y):
            first = pair.override(task_id="first")(before, y)
            return pair.override(task_id="second")(first, x)

        return total.override(task_id="after")(inner.expand(y=[10, 20, 30]))

    total.override(task_id="end")(outer.expand(x=make(2)))

with DAG("nested_rules_inside"):

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            tried = fails_at(y, [1, 4])
            left = skips_at(y, [2])
            for rule in RULES:
                tried >> EmptyOperator(task_id=f"f_{rule}", trigger_rule=rule)
                left >> EmptyOperator(task_id=f"s_{rule}", trigger_rule=rule)

        inner.expand(y=[10, 20, 30])

    outer.expand(x=[1, 2])

with DAG("nested_rules_inwards"):

    @task_group
    def outer(x):
        tried = fails_at(x, [1])
        left = skips_at(x, [2])

        @task_group
        def inner(y):
            for rule in RULES:
                tried >> EmptyOperator(task_id=f"f_{rule}", trigger_rule=rule)
                left >> EmptyOperator(task_id=f"s_{rule}", trigger_rule=rule)

        inner.expand(y=[10, 20])

    outer.expand(x=[1, 2, 3])

with DAG("nested_rules_outwards"):

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            return fails_at(y, [1]), skips_at(y, [0, 2])

        tried, left = inner.expand(y=[10, 20])
        for rule in RULES:
            tried >> EmptyOperator(task_id=f"f_{rule}", trigger_rule=rule)
            left >> EmptyOperator(task_id=f"s_{rule}", trigger_rule=rule)

    outer.expand(x=[1, 2, 3])

with DAG("nested_reduce_after_failures"):

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            return fails_at(y, [1])

        one = inner.expand(y=[10, 20])
        return total.override(task_id="inside", trigger_rule="all_done")(one), one

    inside, one = outer.expand(x=make(2))
    total.override(task_id="of_totals", trigger_rule="all_done")(inside)
    total.override(task_id="of_all", trigger_rule="all_done")(one)
    total.override(task_id="strict")(one)

with DAG("nested_siblings"):

    @task_group
    def outer(x):
        @task_group
        def left(y):
            return fails_at.override(task_id="a")(y, [3])

        @task_group
        def right(z):
            return pair.override(task_id="b")(x, z)

        @task_group
        def wide(z):
            return pair.override(task_id="c")(x, z)

        first = left.expand(y=[1, 2])
        first >> right.expand(z=[10, 20])
        first >> wide.expand(z=[10, 20, 30])

    outer.expand(x=[0, 1, 2])

with DAG("nested_siblings_over_results"):
    twos, threes = make.override(task_id="twos")(2), make.override(task_id="threes")(3)

    @task_group
    def outer(x):
        @task_group
        def left(y):
            return fails_at.override(task_id="a")(y, [3])

        @task_group
        def right(z):
            return pair.override(task_id="b")(x, z)

        @task_group
        def wide(z):
            return pair.override(task_id="c")(x, z)

        first = left.expand(y=twos)
        first >> right.expand(z=twos)
        first >> wide.expand(z=threes)

    outer.expand(x=[0, 1, 2])

with DAG("nested_failures_before_results"):
    twos = make.override(task_id="twos")(2)

    @task_group
    def outer(x):
        tried = fails_at(x, [1])

        @task_group
        def inner(y):
            pair(tried, y)

        inner.expand(y=twos)

    outer.expand(x=make(3)) >> EmptyOperator(task_id="after", trigger_rule="one_failed")

with DAG("nested_setup_and_teardown"):

    @setup
    def up(value):
        if value == 2:
            raise AirflowFailException("no")

    @teardown
    def down(value):
        return value

    @task_group
    def outer(x):
        first, last = up(x), down(x)

        @task_group
        def inner(y):
            double.override(task_id="b")(double.override(task_id="a")(y))

        first >> inner.expand(y=[10, 20]) >> last
        first >> last

    outer.expand(x=[1, 2])

with DAG("nested_inner_setup_and_teardown"):

    @setup
    def up(value):
        if value == 20:
            raise AirflowFailException("no")

    @teardown
    def down(value):
        return value

    @task_group
    def outer(x):
        @task_group
        def inner(y):
            first, last = up(y), down(y)
            first >> double.override(task_id="a")(y) >> double.override(task_id="b")(y) >> last
            first >> last

        inner.expand(y=[10, 20])

    outer.expand(x=[1, 2])

with DAG("nested_through_a_plain_group"):

    @task_group
    def outer(x):
        before = pair.override(task_id="before")(x, 0)

        @task_group
        def plain():
            @task_group
            def inner(y):
                pair(before, y)

            inner.expand(y=[10, 20, 30])

        plain()

    outer.expand(x=[1, 2])

with DAG("nested_three_deep"):
    mids, lows = make.override(task_id="mids")(3), make.override(task_id="lows")(2)

    @task_group
    def outer(x):
        top = double.override(task_id="top")(x)

        @task_group
        def middle(y):
            mid = pair.override(task_id="mid")(top, y)

            @task_group
            def inner(z):
                return pair.override(task_id="low")(mid, z)

            return inner.expand(z=lows)

        return middle.expand(y=mids)

    outer.expand(x=[1, 2])

with DAG("nested_with_keywords"):

    @task_group
    def outer(a, b):
        @task_group
        def inner(y):
            return pair([a, b], y)

        return inner.expand(y=["x", "y"])

    total.override(trigger_rule="all_done")(outer.expand_kwargs([{"a": 1, "b": 2}, {"a": 3, "b": 4}]))

with DAG("nested_crossed"):

    @task_group
    def outer(a, b):
        @task_group
        def inner(y):
            return pair([a, b], y)

        return inner.expand(y=["x", "y"])

    total(outer.expand(a=[1, 2], b=[3, 4, 5]))

with DAG("nested_over_a_failed_task"):
    product(fail()).expand(x=[1, 2]) >> EmptyOperator(task_id="after", trigger_rule="all_done")

with DAG("nested_in_a_failed_task"):
    product([10, 20]).expand(x=fail()) >> EmptyOperator(task_id="after", trigger_rule="all_done")

with DAG("nested_with_a_held_start"):
    held, ys = fail.override(task_id="held")(), make.override(task_id="ys")(2)

    @task_group
    def outer(x):
        one = double.override(task_id="one")(x)
        other = double.override(task_id="other")(x)
        held >> other

        @task_group
        def inner(y):
            pair.override(task_id="both", trigger_rule="all_done")(one, other)
            pair.override(task_id="strict")(one, y)

        inner.expand(y=ys)

    outer.expand(x=make.override(task_id="xs")(2))

with DAG("nested_output_in_another_group"):
    values = product([10, 20]).expand(x=[1, 2])

    @task_group
    def second(z, all_of_them):
        pair(z, all_of_them)

    second.partial(all_of_them=values).expand(z=["a", "b"])

with DAG("nested_map_over_the_output"):
    double.override(task_id="outside").expand(x=product([10, 20]).expand(x=[1, 2]))

with DAG("nested_grown_again"):
    total(product(make_again.override(task_id="ys")(1, 2)).expand(x=make_again.override(task_id="xs")(1, 3)))

with DAG("nested_shrunk_again"):
    values = product(make_again.override(task_id="ys")(2, 1)).expand(x=make_again.override(task_id="xs")(3, 2))
    total(values)
