"""`make real-airflow`: our code against an Airflow that is real (docs/airflow.md)."""
