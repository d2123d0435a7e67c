"""Every error that a user of training can meet: one root, each leaf with the exit code that scripts see."""

import click


class TrainingError(click.ClickException):
    """Root of all errors of `training`; click prints the one-sentence message and exits with `exit_code`."""

    exit_code = 70


class BadDataError(TrainingError):
    """Data that cannot be used or obtained: repair, replace or provide what the message names."""

    exit_code = 65


class ConfigurationError(TrainingError):
    """An option contradicts another, the model or the machine: change the configuration."""

    exit_code = 78
