"""Use cases that come from outside: HTTP requests and timers that are due."""

from inventory_service.handlers.categories import add_category as add_category
from inventory_service.handlers.categories import get_category as get_category
from inventory_service.handlers.categories import remove_category as remove_category
from inventory_service.handlers.categories import rename_category as rename_category
from inventory_service.handlers.products import add_products as add_products
from inventory_service.handlers.products import change_product as change_product
from inventory_service.handlers.products import get_product as get_product
from inventory_service.handlers.products import remove_product as remove_product
from inventory_service.handlers.products import repeat_tombstones as repeat_tombstones
from inventory_service.handlers.stock import adjust_stock as adjust_stock
from inventory_service.handlers.stock import check_availability as check_availability
from inventory_service.handlers.stock import watch_overdue as watch_overdue
