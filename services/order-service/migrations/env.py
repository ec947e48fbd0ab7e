from common.migration import run_env
from order_service.store.tables import metadata

run_env(metadata)
