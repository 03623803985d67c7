"""Training on Lightning, the one folder that knows it.

fit -> Loop (what happens around the steps) and LanguageModeling (the step itself).
"""

from .fit import Result, fit

__all__ = ["Result", "fit"]
