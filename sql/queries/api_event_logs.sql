-- name: entry
select * from leoflow_core.api_event_logs where event_log_id = %(event_log_id)s;
