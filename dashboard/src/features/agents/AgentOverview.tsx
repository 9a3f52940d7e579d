import { Anchor, Group, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { type Agent, agentMembersQuery, agentPoliciesQuery, agentStatsQuery } from "@/api/agents";
import type { Schemas } from "@/api/client";
import { words } from "@/strings/agents";
import { Ago } from "@/ui/Ago";
import { type Column, DataTable } from "@/ui/DataTable";
import { Decision } from "@/ui/Decision";
import { Fact, Facts } from "@/ui/Facts";
import { Identifier } from "@/ui/Identifier";
import { Loaded } from "@/ui/Loaded";
import { useAgent } from "./AgentPage";
import { nextSteps } from "./onboarding";

type Stats = Schemas["StatsOut"];

const TOOLS: Column<Stats["topTools"][number]>[] = [
  {
    key: "tool",
    title: words.tool,
    cell: (one) => <span className="mono wraps">{`${one.service}:${one.tool}`}</span>,
  },
  { key: "allowed", title: words.allowed, end: true, cell: (one) => one.allowed.toLocaleString() },
  { key: "denied", title: words.denied, end: true, cell: (one) => one.denied.toLocaleString() },
];

/** What an agent did of late, what it is, and what it still needs before it can do anything. */
export function AgentOverview() {
  const { value: agent } = useAgent();
  const stats = useQuery(agentStatsQuery(agent.id));
  return (
    <Stack gap="lg">
      <NextSteps agent={agent} />
      <section>
        <Title order={2} mb="xs">
          {words.lastDay}
        </Title>
        <Loaded query={stats}>{(found) => <Numbers stats={found} />}</Loaded>
      </section>
      <section>
        <Title order={2} mb="xs">
          {words.about}
        </Title>
        <Facts>
          <Fact name={words.address}>
            <Identifier value={`${location.origin}/mcp`} label={words.address} />
          </Fact>
          <Fact name={words.services}>{agent.services.join(", ") || words.noServices}</Fact>
          <Fact name={words.trust}>{words.trustMeans[agent.trustMode]}</Fact>
          <Fact name={words.tags}>{agent.tags.join(", ") || words.noTags}</Fact>
          <Fact name={words.created}>
            <Ago at={agent.createdAt} />
          </Fact>
        </Facts>
      </section>
    </Stack>
  );
}

function Numbers({ stats }: { stats: Stats }) {
  const { totals } = stats;
  if (totals.calls === 0) return <Text className="soft">{words.noCalls}</Text>;
  return (
    <Stack gap="sm">
      <Group gap="lg" fz="sm">
        <span>{words.calls(totals.calls)}</span>
        <Group gap={6} component="span">
          <Decision allowed /> {totals.allowed.toLocaleString()}
        </Group>
        <Group gap={6} component="span">
          <Decision allowed={false} /> {totals.denied.toLocaleString()}
        </Group>
        {totals.failed > 0 && <span>{words.failedOfAllowed(totals.failed)}</span>}
      </Group>
      <DataTable
        label={words.topTools}
        columns={TOOLS}
        rows={stats.topTools}
        rowKey={(one) => `${one.service}:${one.tool}`}
      />
    </Stack>
  );
}

/** Shown until an agent has what a call needs. */
function NextSteps({ agent }: { agent: Agent }) {
  const policies = useQuery(agentPoliciesQuery(agent.id));
  const members = useQuery(agentMembersQuery(agent.id));
  if (agent.role !== "owner" || policies.data === undefined || members.data === undefined)
    return null;
  const steps = nextSteps(agent, policies.data.items.length, members.data.items);
  if (steps.length === 0) return null;
  return (
    <section>
      <Title order={2} mb="xs">
        {words.nextSteps}
      </Title>
      <ol>
        {steps.map((step) => (
          <li key={step.tab}>
            <Anchor component={Link} to={`/agents/${agent.id}/${step.tab}`}>
              {words.steps[step.kind]}
            </Anchor>
          </li>
        ))}
      </ol>
    </section>
  );
}
