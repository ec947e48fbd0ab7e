from common.migration import run_env
from notification_service.store.tables import METADATA

run_env(METADATA)
