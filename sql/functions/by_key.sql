-- Equality for looking rows up by the first column of their key, which never leads the planner to walk all rows instead.
-- It would, for a table that looked empty when it was last analyzed (all runs in history), and a run of ten thousand
-- instances would then be walked by every claim and finish until the next analyze (decision 0006). A plain `=` can be
-- merge-joined, so a walk in key order counts as useful even where merge joins are off; `any` cannot. The planner inlines it.
-- Locks: none. Callers: the hot functions.
create or replace function leoflow_core.by_key(p_column anyelement, p_value anyelement) returns boolean
language sql immutable parallel safe as $$
    select p_column = any(array[p_value])
$$;
comment on function leoflow_core.by_key(anyelement, anyelement) is
'Equality for looking rows up by key, which never leads the planner to walk all rows instead.';
