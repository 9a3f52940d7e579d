import { Group } from "@mantine/core";
import { IconBan, IconPlayerPlay } from "@tabler/icons-react";
import type { Agent } from "@/api/agents";
import { words } from "@/strings/agents";

/** Whether an agent's calls are decided at all. */
export function StatusBadge({ status }: { status: Agent["status"] }) {
  const active = status === "active";
  const Icon = active ? IconPlayerPlay : IconBan;
  return (
    <Group
      gap={5}
      wrap="nowrap"
      component="span"
      fz="sm"
      c={active ? "var(--soft)" : "var(--deny)"}
      fw={500}
    >
      <Icon size={15} aria-hidden />
      {words.statuses[status]}
    </Group>
  );
}
