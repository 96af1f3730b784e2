"""Every error a person can meet.

    KaratError(ValueError)          printed as one or two lines, exit code 2
    * DataError                     the files given cannot be learned from
      + UnsafeFile                  a bomb, a path that climbs out of its archive, a format that could run code
    * FitError                      no family, recipe or setting fits what was asked
    * RunError                      a run folder is missing, damaged, locked, or of a newer version
    * TooLarge                      what was asked needs more memory or disk than there is
    * GateError                     what was made could not be judged fit to leave, so none of it does
    * DivergedError                 training produced non-finite numbers and could not go on

Each message says what was found, what was wanted, and what to do.
"""

LONGEST = 1200  # characters of a message; what is quoted of a file in it may be longer than any


class KaratError(ValueError):
    """An error whose message is meant for the person at the keyboard; of a very long one the middle is left out."""

    def __init__(self, message: object = "") -> None:
        text = str(message)
        half = LONGEST // 2
        super().__init__(text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}")


class DataError(KaratError):
    """The files given cannot be learned from; the message names the file, row or byte."""


class UnsafeFile(DataError):
    """A file that was refused before it could cost memory or run anything."""


class FitError(KaratError):
    """No family, recipe or setting fits what was asked; the message names those that would."""


class RunError(KaratError):
    """A run folder that is missing, damaged, locked or from a newer version."""


class TooLarge(KaratError):
    """What was asked needs more memory or disk than there is; the message says how much, and what to lower."""


class GateError(KaratError):
    """A gate failed, or too few made records passed; nothing was exported."""


class DivergedError(KaratError):
    """Training met non-finite numbers that rolling back did not cure."""
