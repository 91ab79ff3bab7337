"""What tries the platform out: demo, headless Airflow, corruptions and their score, planted faults, simulation."""
