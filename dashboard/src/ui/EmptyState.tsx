import { Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface Props {
  title: string;
  /** What will appear here, and what to do for it. */
  children: ReactNode;
  action?: ReactNode;
}

/** Nothing yet, or nothing that matches. */
export function EmptyState({ title, children, action }: Props) {
  return (
    <Stack gap="xs" py="xl" align="flex-start" maw={560}>
      <Title order={2}>{title}</Title>
      <Text className="soft">{children}</Text>
      {action}
    </Stack>
  );
}
