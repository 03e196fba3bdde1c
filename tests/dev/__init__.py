"""Scripts a developer runs by hand to record what Airflow itself does. Not collected as tests."""
