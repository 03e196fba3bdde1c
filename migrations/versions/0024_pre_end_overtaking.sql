insert into leoflow_core.setting (key, value, description) values
(
    'overtaking_seconds', '300',
    'How long a task may wait for more slots than are free before what comes after it in the pool waits too.'
);
