-- Connections become one sealed document each. SQL has no key, so what was readable is carried over behind a NUL byte,
-- and sealed by the first process that has one (leoflow/secrets/rotation.py).
-- squawk-ignore-file ban-drop-column, ban-drop-view, adding-required-field, adding-not-nullable-field
-- (What was readable must not stay, not even for the minutes of an upgrade.)
drop view if exists leoflow.connections;

alter table leoflow_core.connection add column sealed bytea;

update leoflow_core.connection
set
    sealed = '\x00'::bytea || convert_to(
        jsonb_build_object(
            'host', host, 'schema', schema, 'login', login, 'port', port,
            'password', convert_from(password, 'UTF8'), 'extra', convert_from(extra, 'UTF8')
        )::text, 'UTF8'
    );

alter table leoflow_core.connection
alter column sealed set not null,
drop column host,
drop column schema,
drop column login,
drop column port,
drop column password,
drop column extra;

comment on table leoflow_core.connection is
'Airflow connections. sealed: host, schema, login, port, password and extra as one encrypted JSON document.';
