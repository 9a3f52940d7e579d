"""What is opened in the browser is every address that there is."""

from tests.browser.routes import routes


def test_the_table_is_read_with_its_nested_addresses() -> None:
    found = list(routes())
    assert {"/sign-in", "/", "/agents", "/agents/:agentId", "/agents/:agentId/settings"} <= set(found)
    assert len(found) == len(set(found))
