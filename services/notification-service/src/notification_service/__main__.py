"""`python -m notification_service serve|api|consume|relay|migrate`."""

import sys

from notification_service.app import PROGRAM

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
