"""Use cases that come from outside: HTTP requests and timers that are due."""

from inventory_service.handlers.products import add_products as add_products
from inventory_service.handlers.products import change_product as change_product
from inventory_service.handlers.products import get_product as get_product
from inventory_service.handlers.stock import adjust_stock as adjust_stock
from inventory_service.handlers.stock import watch_overdue as watch_overdue
