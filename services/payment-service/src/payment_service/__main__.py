"""`python -m payment_service serve|api|consume|relay|migrate`."""

import sys

from payment_service.app import PROGRAM

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
