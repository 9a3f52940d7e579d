import type { Agent } from "@/api/agents";
import type { Schemas } from "@/api/client";

type Member = Pick<Schemas["MemberOut"], "status" | "key">;

export interface NextStep {
  kind: "service" | "policy" | "key";
  tab: "connectors" | "policies" | "members";
}

/** What an agent lacks before a first call can be allowed, in the order in which it is done. */
export function nextSteps(
  agent: Pick<Agent, "services">,
  policies: number,
  members: readonly Member[],
): NextStep[] {
  const hasKey = members.some((member) => member.status === "approved" && member.key !== null);
  const steps: (NextStep | null)[] = [
    agent.services.length === 0 ? { kind: "service", tab: "connectors" } : null,
    policies === 0 ? { kind: "policy", tab: "policies" } : null,
    hasKey ? null : { kind: "key", tab: "members" },
  ];
  return steps.filter((step) => step !== null);
}
