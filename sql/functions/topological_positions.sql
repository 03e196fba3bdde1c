-- Positions of tasks 0 … n-1 in a topological order (Kahn, smallest index first among equals in time), or null
-- when the edges contain a cycle. Edges are pairs of equal position in the two arrays.
-- Locks: none. Callers: register_version.
create or replace function leoflow_core.topological_positions(p_tasks int, p_upstream int[], p_downstream int[])
returns int[] language plpgsql immutable as $$
declare
    v_degree int[] := array_fill(0, array[greatest(p_tasks, 1)]);
    v_first int[] := array_fill(1, array[greatest(p_tasks, 1)]);
    v_last int[] := array_fill(0, array[greatest(p_tasks, 1)]);
    v_down int[];
    v_queue int[] := array_fill(0, array[greatest(p_tasks, 1)]);
    v_position int[] := array_fill(0, array[greatest(p_tasks, 1)]);
    v_tail int := 0;
    v_head int := 0;
    v_task int;
    v_next int;
    r record;
begin
    select array_agg(e.down order by e.up, e.down) into v_down from unnest(p_upstream, p_downstream) as e(up, down);
    for r in
        select e.up, count(*)::int as n, (sum(count(*)) over (order by e.up))::int as last_one
        from unnest(p_upstream) as e(up) group by e.up
    loop
        v_first[r.up + 1] := r.last_one - r.n + 1;
        v_last[r.up + 1] := r.last_one;
    end loop;
    for r in select e.down, count(*)::int as n from unnest(p_downstream) as e(down) group by e.down loop
        v_degree[r.down + 1] := r.n;
    end loop;
    for i in 1 .. p_tasks loop
        if v_degree[i] = 0 then
            v_tail := v_tail + 1;
            v_queue[v_tail] := i;
        end if;
    end loop;
    while v_head < v_tail loop
        v_head := v_head + 1;
        v_task := v_queue[v_head];
        v_position[v_task] := v_head - 1;
        for i in v_first[v_task] .. v_last[v_task] loop
            v_next := v_down[i] + 1;
            v_degree[v_next] := v_degree[v_next] - 1;
            if v_degree[v_next] = 0 then
                v_tail := v_tail + 1;
                v_queue[v_tail] := v_next;
            end if;
        end loop;
    end loop;
    if v_tail < p_tasks then
        return null;
    end if;
    return v_position;
end
$$;
comment on function leoflow_core.topological_positions(int, int[], int[]) is
'Positions of tasks in a topological order, null for a cycle.';
