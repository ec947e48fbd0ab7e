from common.migration import run_env
from inventory_service.store.tables import metadata

run_env(metadata)
