"""Two services whose resources policies can tell apart, each kind of condition among theirs."""

from wicket.core.model import (
    AttributeKind,
    ConditionKind,
    ConditionType,
    Connector,
    ConnectorKind,
    ResourceType,
    RestrictionType,
    Tier,
    ToolFacts,
)

REPOSITORY = {
    "visibility": AttributeKind.TEXT,
    "archived": AttributeKind.BOOLEAN,
    "topics": AttributeKind.TEXTS,
}
PULL_REQUEST = {**REPOSITORY, "isDraft": AttributeKind.BOOLEAN, "size": AttributeKind.INTEGER}

GITHUB = Connector(
    key="github",
    name="GitHub",
    namespace="GitHubMCP",
    kind=ConnectorKind.CATALOG,
    url="https://api.example/mcp/",
    tools={
        "get": ToolFacts("get", Tier.READ, secret_args=("code",), resource_args=("token_name",)),
        "put": ToolFacts("put", Tier.WRITE),
        "drop": ToolFacts("drop", Tier.DESTRUCTIVE),
        "multi": ToolFacts(
            "multi",
            Tier.READ,
            selector="method",
            selector_tiers={"look": Tier.READ, "set": Tier.WRITE, "wipe": Tier.DESTRUCTIVE},
        ),
    },
    resource_types={
        one.name: one
        for one in (
            ResourceType("Owner", "owner"),
            ResourceType("Repository", "repository", ("Owner",), REPOSITORY),
            ResourceType("PullRequest", "pull_request", ("Repository", "Owner"), PULL_REQUEST),
        )
    },
    condition_types={
        one.name: one
        for one in (
            ConditionType(
                "visibility", ConditionKind.EQUALS, "visibility", choices=("public", "private", "internal")
            ),
            ConditionType("archived", ConditionKind.EQUALS, "archived", value=AttributeKind.BOOLEAN),
            ConditionType("topic", ConditionKind.CONTAINS, "topics", grammar=r"[a-z0-9-]{1,50}"),
            ConditionType("isDraft", ConditionKind.EQUALS, "isDraft", value=AttributeKind.BOOLEAN),
            ConditionType("size", ConditionKind.EQUALS, "size", value=AttributeKind.INTEGER),
            ConditionType(
                "pullRequest",
                ConditionKind.WITHIN,
                resource_type="PullRequest",
                grammar=r"[a-z0-9_.-]+/[a-z0-9_.-]+#[0-9]+",
                folded=True,
            ),
        )
    },
    restrictions={
        "repositories": RestrictionType(("Owner", "Repository"), r"[a-z0-9_.-]{1,100}", folded=True)
    },
)
SLACK = Connector(
    key="slack",
    name="Slack",
    namespace="SlackMCP",
    kind=ConnectorKind.CATALOG,
    url="https://slack.example/mcp",
    resource_types={"Channel": ResourceType("Channel", "channel")},
    restrictions={"channels": RestrictionType(("Channel",)), "pages": RestrictionType(("Page",))},
)
CONNECTORS = {one.key: one for one in (GITHUB, SLACK)}
