"""Mirror of a run directory in MLflow. Only this package imports MLflow."""
