alter table leoflow_core.dag_version drop column has_dates;
