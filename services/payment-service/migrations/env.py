from common.migration import run_env
from payment_service.store.tables import metadata

run_env(metadata)
