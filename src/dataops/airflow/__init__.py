"""Airflow's side: operators, building blocks of DAGs and a headless Airflow. The only package that imports airflow.

Modules here import nothing heavy at their top: every DAG file is parsed again and again.
"""
