"""Use cases that come from outside: HTTP requests and timers that are due."""

from order_service.handlers.accounts import AddAccount as AddAccount
from order_service.handlers.accounts import ChangeAccount as ChangeAccount
from order_service.handlers.accounts import add_account as add_account
from order_service.handlers.accounts import change_account as change_account
from order_service.handlers.accounts import erase_account as erase_account
from order_service.handlers.accounts import erase_again as erase_again
from order_service.handlers.accounts import make_admin as make_admin
from order_service.handlers.accounts import not_proven as not_proven
from order_service.handlers.deciding import decide_order as decide_order
from order_service.handlers.fulfilment import deliver_order as deliver_order
from order_service.handlers.fulfilment import ship_order as ship_order
from order_service.handlers.orders import NORMAL as NORMAL
from order_service.handlers.orders import cancel_order as cancel_order
from order_service.handlers.orders import load_orders as load_orders
from order_service.handlers.orders import place_orders as place_orders
from order_service.handlers.orders import save_orders as save_orders
from order_service.handlers.projection import rebuild_projection as rebuild_projection
from order_service.handlers.refunds import request_refund as request_refund
from order_service.handlers.repair import force_saga as force_saga
from order_service.handlers.repair import resolve_saga as resolve_saga
from order_service.handlers.repair import retry_saga as retry_saga
from order_service.handlers.timers import call_stuck as call_stuck
from order_service.handlers.timers import close_again as close_again
from order_service.handlers.timers import expire_orders as expire_orders
from order_service.handlers.timers import forget as forget
from order_service.handlers.timers import measure_open as measure_open
