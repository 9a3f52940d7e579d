import { ActionIcon, CopyButton, Group, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { words } from "@/strings/ui";

interface CopyProps {
  value: string;
  /** What is copied, for who cannot see what stands beside it. */
  label: string;
}

/** Puts a value on the clipboard, and says so. */
export function Copy({ value, label }: CopyProps) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? words.copied : words.copy(label)}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={words.copy(label)}
            onClick={copy}
          >
            {copied ? <IconCheck size={14} aria-hidden /> : <IconCopy size={14} aria-hidden />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** An identifier: monospace, whole, and with a button that copies it. */
export function Identifier({ value, label }: CopyProps) {
  return (
    <Group gap={2} wrap="nowrap" component="span">
      <span className="mono wraps">{value}</span>
      <Copy value={value} label={label} />
    </Group>
  );
}
