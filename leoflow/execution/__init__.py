"""The operations of Airflow's task execution API, once, served over whichever transport."""
