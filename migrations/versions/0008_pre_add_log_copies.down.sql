drop table if exists leoflow_core.log_copy;
delete from leoflow_core.setting where key = 'copy_logs';
