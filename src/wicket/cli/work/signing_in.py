"""One-time links into the dashboard, made on the host and on its authority."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from wicket.cli.output import print_json, print_line, say
from wicket.cli.work.host import Host, iso, now, on_host
from wicket.core.model import JsonObject
from wicket.settings import load_settings
from wicket.store import accounts, second_factor, sign_in
from wicket.store.sign_in import LINK_TTL


@dataclass(frozen=True, slots=True)
class Link:
    """Where a browser signs in."""

    account_id: str
    url: str
    expires_at: datetime

    def render(self) -> JsonObject:
        return {"url": self.url, "expiresAt": iso(self.expires_at)}


def log_in(
    email: str, *, public_url: str | None, drop_factor: bool, data_dir: Path | None, as_json: bool
) -> None:
    """Print a link that signs an address in, whose account is made when there is none."""
    address = accounts.parse_email(email)
    base_url = load_settings(data_dir=data_dir, public_url=public_url).base_url

    async def work(host: Host) -> Link:
        link = await make_link(host, address, base_url=base_url)
        if drop_factor and await host.database.change(
            second_factor.drop, account_id=link.account_id, now=now(), agents=()
        ):
            say(f"{address} has no second factor any more")
        return link

    link = on_host(work, data_dir=data_dir)
    if as_json:
        print_json(link.render())
    else:
        print_line(link.url)
    minutes = int(LINK_TTL.total_seconds()) // 60
    say(
        f"signs {address} in, once, within {minutes} minutes; a second factor, where there is one, is still asked for"
    )


async def make_link(host: Host, email: str, *, base_url: str) -> Link:
    """A link into the dashboard at this address.

    The token stands in the fragment, which browsers keep to themselves: it is in no request line, log or `Referer`.
    """
    made = await host.database.change(sign_in.make_link, email=email, now=now(), agents=())
    return Link(made.account_id, f"{base_url}/sign-in#token={made.token}", made.expires_at)
