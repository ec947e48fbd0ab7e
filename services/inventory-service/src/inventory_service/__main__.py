"""`python -m inventory_service serve|api|consume|relay|migrate`."""

import sys

from inventory_service.app import PROGRAM

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
