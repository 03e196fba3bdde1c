-- What a DAG's author must know to make its tasks start in milliseconds.
alter table leoflow_core.dag add column spawn_reason text;
comment on column leoflow_core.dag.spawn_reason is
'Why attempts get an interpreter of their own instead of a fork, as found when the file was loaded last. Null: they are forked.';
