"""A real Airflow without a screen, for the demo and the tests."""
