"""Training on Lightning; no other folder imports it.

``fit`` builds a task (``training_task``), whose Lightning module computes the step (``text`` or
``reasoning``), and the ``Loop`` around the steps: learning rate, metrics, validation, checkpoints.
"""

from .fit import Result, fit

__all__ = ["Result", "fit"]
