"""`pedido`: what an operator does to the suite, over HTTP and Kafka."""

import sys
from typing import Annotated

import typer

from pedido import letters, operations, payments, sagas, stock, tokens
from pedido.show import Desk, Output, plain
from pedido.trouble import Trouble
from pedido.where import Where

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Begin with `export PEDIDO_TOKEN=$(pedido token)` and `pedido doctor`. "
    "Exit codes: 0 well, 1 found trouble, 2 wrong usage, no token or no connection.",
)
_LOOK, _REPAIR, _ACCESS = "Look", "Repair", "Access"

app.command("doctor", rich_help_panel=_LOOK)(operations.doctor)
app.command("lag", rich_help_panel=_LOOK)(operations.lag)
app.add_typer(operations.outbox, name="outbox", rich_help_panel=_LOOK)
app.add_typer(operations.events, name="events", rich_help_panel=_LOOK)
app.add_typer(operations.invariants, name="invariants", rich_help_panel=_LOOK)
app.add_typer(payments.app, name="payments", rich_help_panel=_LOOK)
app.add_typer(stock.app, name="stock", rich_help_panel=_LOOK)
app.add_typer(letters.dlt, name="dlt", rich_help_panel=_REPAIR)
app.add_typer(letters.parked, name="parked", rich_help_panel=_REPAIR)
app.add_typer(sagas.app, name="saga", rich_help_panel=_REPAIR)
app.add_typer(operations.consumers, name="consumers", rich_help_panel=_REPAIR)
app.command("rewind", rich_help_panel=_REPAIR)(operations.rewind)
app.command("token", rich_help_panel=_ACCESS)(tokens.token)
app.command("login", rich_help_panel=_ACCESS)(tokens.login)


@app.callback()
def start(
    context: typer.Context,
    output: Annotated[Output, typer.Option(help="for people or for programs")] = Output.TABLE,
) -> None:
    """Operate Pedido: see what hangs, why, and make it go on.

    Addresses come from the environment (ORDER_URL, INVENTORY_URL, PAYMENT_URL, NOTIFICATION_URL,
    KAFKA_BOOTSTRAP_SERVERS, TOPIC_PREFIX) or from the nearest `.local/stack.env` above.
    TLS and login at the broker are set as for the services, in the environment alone:
    `KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_*`, `KAFKA_SSL_*`.

    Examples: `pedido doctor` · `pedido saga list` · `pedido dlt replay inventory --dry-run`
    """
    context.obj = Desk(Where.found(), output)


def main() -> None:
    """Run a command; what it can't do is one line on stderr."""
    try:
        app()
    except Trouble as trouble:
        typer.echo(f"pedido: {plain(str(trouble))}", err=True)
        sys.exit(trouble.code)


if __name__ == "__main__":
    main()
