"""Errors and the time limit of a delivery to MLflow. This module does not import MLflow."""

from typing import Final

PATIENCE_SECONDS: Final = 10.0
"""Default maximum wait for MLflow at the end of a command."""


class DeliveryError(Exception):
    """Events cannot be delivered to MLflow. The run log still contains all events."""


class StoreUnavailableError(DeliveryError):
    """The store is not reachable now."""
