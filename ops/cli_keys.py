"""`slackwater key`: who may use the routes that need a key."""

from typing import Any, cast

import click

from ops.context import CLOCK, Context
from ops.output import command, console, emit, table, time_text
from slackwater.core.rate import parse_rate
from slackwater.keys.keys import SCOPES, Key, KeyStore, Scope


@click.group()
def key() -> None:
    """API keys of the REST service."""


@command(
    "create",
    "slackwater key create --scope admin --name alice",
    "slackwater key create --scope read --name desk --rate-limit 100/second",
    "slackwater key create --scope write --name feed",
    of=key,
)
@click.option(
    "--scope",
    required=True,
    type=click.Choice(SCOPES),
    help="read: ask; write: post events; admin: both, and change what is served.",
)
@click.option("--name", required=True, metavar="TEXT", help="Whose it is; rollbacks are recorded under it.")
@click.option("--rate-limit", metavar="RATE", help="Its own limit, such as 100/second; else the service's.")
def create_command(context: Context, scope: str, name: str, rate_limit: str | None, as_json: bool) -> None:
    """Make a key and show it, once: only its hash is kept."""
    try:
        rate = parse_rate(rate_limit) if rate_limit else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rate-limit") from error
    made, text = KeyStore(context.settings.home).create(name, cast("Scope", scope), CLOCK.now_us(), rate)

    def show() -> None:
        console.print(text, markup=False, soft_wrap=True)
        console.print("It is shown this once. Send it as `Authorization: Bearer <key>`.")

    emit(as_json, {**_facts(made), "key": text}, show)


@command("list", "slackwater key list", "slackwater key list --json", of=key)
def list_command(context: Context, as_json: bool) -> None:
    """The keys that were made, revoked ones too."""
    keys = KeyStore(context.settings.home).all()

    def show() -> None:
        found = table("id", "name", "scope", "rate limit", "created (UTC)", "revoked (UTC)")
        for made in keys:
            times = time_text(made.created_us), time_text(made.revoked_us)
            found.add_row(made.id, made.name, made.scope, made.rate, *times)
        console.print(found if keys else "No key yet. Make one with `slackwater key create`.")

    emit(as_json, {"keys": [_facts(made) for made in keys]}, show)


@command("revoke", "slackwater key revoke alice", "slackwater key revoke 3f9a0c41d2e7", of=key)
@click.argument("name")
def revoke_command(context: Context, name: str, as_json: bool) -> None:
    """Revoke a key by its name or id, at once and for good."""
    revoked = KeyStore(context.settings.home).revoke(name, CLOCK.now_us())
    emit(as_json, _facts(revoked), lambda: console.print(f"{revoked.name} ({revoked.id}) is revoked.", markup=False))


def _facts(found: Key) -> dict[str, Any]:
    times = {"created_us": found.created_us, "revoked_us": found.revoked_us}
    return {"id": found.id, "name": found.name, "scope": found.scope, "rate_limit": found.rate, **times}
