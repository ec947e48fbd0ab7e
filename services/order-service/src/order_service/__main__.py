"""`python -m order_service serve|api|consume|relay|migrate`, and an operator's two commands."""

import sys

from order_service.app import PROGRAM
from order_service.app.commands import make_admin, rebuild

COMMANDS = {"rebuild": rebuild, "admin": make_admin}

if __name__ == "__main__":
    name, arguments = "".join(sys.argv[1:2]), sys.argv[2:]
    sys.exit(COMMANDS[name](arguments) if name in COMMANDS else PROGRAM.main())
