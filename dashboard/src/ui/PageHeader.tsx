import { Group, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";

interface Props {
  title: string;
  /** Beside the title: what state the thing is in. */
  status?: ReactNode;
  /** The one thing to do here. */
  action?: ReactNode;
  /** Below: what identifies it. */
  children?: ReactNode;
}

/** How every page begins; it also names the browser's tab. */
export function PageHeader({ title, status, action, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Wicket`;
  }, [title]);
  return (
    <header>
      <Group justify="space-between" align="flex-start" mb={children ? 4 : "md"} gap="sm">
        <Group gap="sm">
          <Title order={1} className="wraps">
            {title}
          </Title>
          {status}
        </Group>
        {action}
      </Group>
      {children && (
        <Group gap="md" mb="md" className="soft" fz="sm">
          {children}
        </Group>
      )}
    </header>
  );
}
