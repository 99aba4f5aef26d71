"""What can go wrong with a model.

ModelError
├── ConfigError            a model description with faults
├── EncoderNotFoundError   no encoder under that name
├── CheckpointError        a checkpoint that is incomplete, damaged or contradicts itself
├── ImportModelError       a model of another library that cannot become a checkpoint
└── PublishError           a place for published versions that cannot be read or written
"""


class ModelError(Exception):
    """Base of all errors of this package; its text says what is wrong and what to do."""


class ConfigError(ModelError):
    """A model description with faults; the text names each of them."""


class EncoderNotFoundError(ModelError):
    """No encoder was found under a name; the text lists the places that were tried."""


class CheckpointError(ModelError):
    """A checkpoint folder that is incomplete, damaged or contradicts itself."""


class ImportModelError(ModelError):
    """A model of another library that cannot become a checkpoint; the text gives the reason."""


class PublishError(ModelError):
    """A place for published versions that cannot be read or written."""
