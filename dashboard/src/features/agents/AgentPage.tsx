import { Anchor, Breadcrumbs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useOutletContext, useParams } from "react-router";
import { type Agent, agentQuery } from "@/api/agents";
import type { Tagged } from "@/api/client";
import { words } from "@/strings/agents";
import { Identifier } from "@/ui/Identifier";
import { Loaded } from "@/ui/Loaded";
import { PageHeader } from "@/ui/PageHeader";
import { TabLinks } from "@/ui/TabLinks";
import { KillSwitch } from "./KillSwitch";
import { StatusBadge } from "./StatusBadge";

const TABS = ["", "policies", "members", "connectors", "audit", "sessions", "settings"] as const;

function tabsOf(agent: Agent) {
  const root = `/agents/${agent.id}`;
  return TABS.map((tab) => ({
    to: tab ? `${root}/${tab}` : root,
    label: words.tabs[tab],
    end: tab === "",
  }));
}

/** One agent: what it is called, whether it runs, the switch that stops it, and a tab for each side of it. */
export function AgentPage() {
  const { agentId = "" } = useParams();
  const query = useQuery(agentQuery(agentId));
  return (
    <Loaded query={query} heading={words.agent}>
      {(tagged) => (
        <>
          <Breadcrumbs mb={4} fz="sm">
            <Anchor component={Link} to="/agents" fz="inherit">
              {words.title}
            </Anchor>
          </Breadcrumbs>
          <AgentHeader agent={tagged.value} />
          <TabLinks label={words.tabsOf(tagged.value.name)} tabs={tabsOf(tagged.value)} />
          <Outlet context={tagged} />
        </>
      )}
    </Loaded>
  );
}

/** The agent of the page that a tab is on. */
export function useAgent(): Tagged<Agent> {
  return useOutletContext<Tagged<Agent>>();
}

function AgentHeader({ agent }: { agent: Agent }) {
  return (
    <PageHeader
      title={agent.name}
      status={<StatusBadge status={agent.status} />}
      action={agent.role === "owner" && <KillSwitch agent={agent} />}
    >
      <span>{words.trustModes[agent.trustMode]}</span>
      <span>{words.youAre(agent.role)}</span>
      <Identifier value={agent.id} label={words.agentId} />
    </PageHeader>
  );
}
