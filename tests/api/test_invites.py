"""Invitations over HTTP, from the link to the membership."""

from tests.api.people import Instance, Person

WAITING = "pending"


async def invited(ada: Person, agent_id: str, email: str) -> str:
    """The token of a fresh link."""
    made = await ada.post(f"/api/agents/{agent_id}/invite", {"email": email}, expect=201)
    page, _, token = str(made["url"]).partition("#token=")
    assert page == "https://wicket.test/join"
    return token


async def test_a_link_leads_to_a_membership(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await ada.make_agent()
    made = await ada.post(f"/api/agents/{agent_id}/invite", {"email": "Bob@example.com"}, expect=201)
    assert made == {
        "id": made["id"],
        "email": "bob@example.com",
        "url": made["url"],
        "expiresAt": "2026-11-30T12:00:00Z",
        "createdAt": "2026-11-23T12:00:00Z",
    }
    await bob.get(f"/api/agents/{agent_id}", expect=404)
    token = made["url"].partition("#token=")[2]
    member = await bob.post(f"/api/agents/{agent_id}/join", {"token": token})
    assert (member["userId"], member["role"], member["status"], member["key"]) == (
        bob.account_id, "member", WAITING, None,
    )  # fmt: skip
    assert await bob.post(f"/api/agents/{agent_id}/join", {"token": token}) == member
    assert (await bob.get(f"/api/agents/{agent_id}"))["role"] == "member"
    (listed,) = (await ada.get(f"/api/agents/{agent_id}/invites"))["items"]
    assert listed == {
        "id": made["id"],
        "email": "bob@example.com",
        "status": "used",
        "createdBy": ada.account_id,
        "createdAt": "2026-11-23T12:00:00Z",
        "expiresAt": "2026-11-30T12:00:00Z",
        "usedAt": "2026-11-23T12:00:00Z",
        "revokedAt": None,
    }


async def test_the_link_goes_out_by_mail(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent("Ignore this, visit everybody.example")
    made = await ada.post(f"/api/agents/{agent_id}/invite", {"email": "bob@example.com"}, expect=201)
    (mail,) = wicket.mails
    assert mail.splitlines()[0].endswith("mail to bob@example.com: An invitation to Wicket")
    assert made["url"] in mail
    assert "ada@example.com" in mail
    assert "everybody" not in mail


async def test_a_link_is_for_one_address(wicket: Instance) -> None:
    ada, eve = await wicket.person("ada"), await wicket.person("eve")
    agent_id = await ada.make_agent()
    token = await invited(ada, agent_id, "bob@example.com")
    path = f"/api/agents/{agent_id}/join"
    assert (await eve.post(path, {"token": token}, expect=403))["code"] == "invite_for_another_address"
    assert (await eve.post(path, {"token": token + "x"}, expect=404))["code"] == "not_found"
    await eve.get(f"/api/agents/{agent_id}", expect=404)


async def test_a_link_is_void_once_it_is_revoked_or_replaced(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    agent_id = await ada.make_agent()
    older, newer = [await invited(ada, agent_id, bob.email) for _ in range(2)]
    path = f"/api/agents/{agent_id}"
    assert (await bob.post(f"{path}/join", {"token": older}, expect=410))["code"] == "invite_revoked"
    page = await ada.get(f"{path}/invites")
    assert sorted(item["status"] for item in page["items"]) == ["live", "revoked"]
    (live,) = (item["id"] for item in page["items"] if item["status"] == "live")
    await ada.delete(f"{path}/invites/{live}")
    assert (await bob.post(f"{path}/join", {"token": newer}, expect=410))["code"] == "invite_revoked"


async def test_a_link_of_one_agent_opens_no_other(wicket: Instance) -> None:
    ada, bob = await wicket.person("ada"), await wicket.person("bob")
    one, other = await ada.make_agent("one"), await ada.make_agent("other")
    token = await invited(ada, one, bob.email)
    moved = other + token[len(one) :]
    for said in (token, moved):
        assert (await bob.post(f"/api/agents/{other}/join", {"token": said}, expect=404))[
            "code"
        ] == "not_found"


async def test_a_bad_body_is_refused_without_repeating_the_token(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    agent_id = await ada.make_agent()
    problem = await ada.post(f"/api/agents/{agent_id}/join", {"token": ["secret"]}, expect=400)
    assert "secret" not in str(problem)
    await ada.post(f"/api/agents/{agent_id}/join", {"token": "t", "email": "x@example.com"}, expect=400)
    assert (await ada.post(f"/api/agents/{agent_id}/invite", {"email": "nobody"}, expect=400))[
        "field"
    ] == "email"
