import { Group } from "@mantine/core";
import { IconCircleCheck, IconCircleX } from "@tabler/icons-react";
import { words } from "@/strings/ui";

/** What was decided: a word, an icon and a colour, never the colour alone. */
export function Decision({ allowed }: { allowed: boolean }) {
  return (
    <Group
      gap={5}
      wrap="nowrap"
      component="span"
      c={allowed ? "var(--allow)" : "var(--deny)"}
      fw={500}
    >
      {allowed ? <IconCircleCheck size={15} aria-hidden /> : <IconCircleX size={15} aria-hidden />}
      {allowed ? words.allowed : words.denied}
    </Group>
  );
}
