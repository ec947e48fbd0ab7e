"""What a command ends with when it can't do its work."""

FOUND_TROUBLE = 1
NO_CONNECTION = 2


class Trouble(Exception):
    """Said in one line on stderr; the code is the process's."""

    def __init__(self, message: str, code: int = FOUND_TROUBLE) -> None:
        super().__init__(message)
        self.code = code
