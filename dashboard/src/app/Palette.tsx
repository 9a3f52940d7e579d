import {
  Spotlight,
  type SpotlightActionData,
  type SpotlightActionGroupData,
} from "@mantine/spotlight";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useNavigate } from "react-router";
import { agentMembersQuery, agentPoliciesQuery, agentsQuery } from "@/api/agents";
import { words } from "@/strings/app";
import { PLACES } from "./navigation";

const AGENTS_SEEN = 20;
const SHOWN_MAX = 30;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Ctrl-K: to any page, agent, policy or member by name, and to a decision by its id. */
export function Palette() {
  const [query, setQuery] = useState("");
  const [opened, setOpened] = useState(false);
  const navigate = useNavigate();
  const groups = useEverything(opened, navigate);
  useFirstSelected(query);
  const id = query.trim().toLowerCase();
  const decision: SpotlightActionData[] = UUID.test(id)
    ? [
        {
          id,
          label: words.openDecision(id),
          keywords: id,
          onClick: () => navigate(`/audit?entry=${id}`),
        },
      ]
    : [];
  return (
    <Spotlight
      actions={[{ group: words.decision, actions: decision }, ...groups]}
      query={query}
      onQueryChange={setQuery}
      onSpotlightOpen={() => setOpened(true)}
      onSpotlightClose={() => setOpened(false)}
      shortcut={["mod + K"]}
      tagsToIgnore={[]}
      limit={SHOWN_MAX}
      scrollable
      maxHeight="min(420px, 70vh)"
      highlightQuery
      nothingFound={words.nothingFound}
      searchProps={{ placeholder: words.paletteHint, "aria-label": words.paletteHint }}
    />
  );
}

/**
 * Enter goes to the first that is shown. Spotlight marks it when a letter is typed; what comes from the server
 * after the last letter would stay unmarked.
 */
function useFirstSelected(query: string) {
  useEffect(() => {
    if (query !== "" && document.querySelector("[data-action][data-selected]") === null) {
      document.querySelector("[data-action]")?.setAttribute("data-selected", "true");
    }
  });
}

/** What can be gone to; asked for when the palette is opened, not before. */
function useEverything(
  enabled: boolean,
  navigate: (to: string) => void,
): SpotlightActionGroupData[] {
  const agents = useQuery({
    ...agentsQuery({ limit: AGENTS_SEEN, sortBy: "name", sortDir: "asc" }),
    enabled,
  });
  const items = agents.data?.items ?? [];
  const policies = useQueries({
    queries: items.map((agent) => ({ ...agentPoliciesQuery(agent.id), enabled })),
  });
  const members = useQueries({
    queries: items.map((agent) => ({ ...agentMembersQuery(agent.id), enabled })),
  });
  const action = (
    id: string,
    label: string,
    to: string,
    description?: string,
  ): SpotlightActionData => ({
    id,
    label,
    onClick: () => navigate(to),
    ...(description === undefined ? {} : { description }),
  });
  return [
    { group: words.pages, actions: PLACES.map((place) => action(place.to, place.label, place.to)) },
    {
      group: words.places.agents,
      actions: items.map((agent) => action(agent.id, agent.name, `/agents/${agent.id}`)),
    },
    {
      group: words.policies,
      actions: items.flatMap((agent, at) =>
        (policies[at]?.data?.items ?? []).map((policy) =>
          action(policy.id, policy.name, `/agents/${agent.id}/policies/${policy.id}`, agent.name),
        ),
      ),
    },
    {
      group: words.members,
      actions: items.flatMap((agent, at) =>
        (members[at]?.data?.items ?? []).map((member) =>
          action(member.id, member.email, `/agents/${agent.id}/members`, agent.name),
        ),
      ),
    },
  ];
}
