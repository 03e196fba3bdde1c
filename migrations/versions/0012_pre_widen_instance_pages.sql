-- An instance is written three times: created, claimed, finished. With room for all of its claims a page keeps every
-- finish a HOT update (decision 0003, with the numbers). Pages filled before keep their filling until they are empty.
alter table leoflow_core.task_instance set (fillfactor = 40);
