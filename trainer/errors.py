"""What can go wrong in training.

TwinheadError
└── TrainerError
    ├── RecipeError     a recipe with faults
    ├── DataError       rows that cannot be trained or measured with
    ├── RunError        an output folder that cannot be used, or a run that cannot be resumed
    └── DivergedError   a loss that is not finite
"""

from ..client.errors import TwinheadError


class TrainerError(TwinheadError):
    """Base of the errors of this package; its text says what is wrong and what to do."""


class RecipeError(TrainerError):
    """A recipe with faults; the text names each of them, one a line."""


class DataError(TrainerError):
    """Rows that cannot be trained or measured with; the text names file and line."""


class RunError(TrainerError):
    """An output folder that cannot be used, or a run that cannot be resumed."""


class DivergedError(TrainerError):
    """A loss that is not finite; the text says where the batch is that caused it."""
