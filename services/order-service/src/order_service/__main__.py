"""`python -m order_service serve|api|consume|relay|migrate`, and `rebuild` for the projection."""

import sys

from order_service.app import PROGRAM, rebuild

if __name__ == "__main__":
    sys.exit(rebuild() if sys.argv[1:] == ["rebuild"] else PROGRAM.main())
