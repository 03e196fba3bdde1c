delete from leoflow_core.setting where key = 'overtaking_seconds';
