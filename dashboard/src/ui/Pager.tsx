import { Button, Group, Text } from "@mantine/core";
import { words } from "@/strings/ui";

interface Props {
  offset: number;
  limit: number;
  total: number;
  onOffset: (offset: number) => void;
}

/** Forward and back through a list whose length is known. */
export function Pager({ offset, limit, total, onOffset }: Props) {
  const end = Math.min(offset + limit, total);
  return (
    <Group justify="space-between" mt="xs" gap="xs">
      <Text size="sm" className="soft" aria-live="polite">
        {words.range(total === 0 ? 0 : offset + 1, end, total)}
      </Text>
      {total > limit && (
        <Group gap="xs">
          <Button
            variant="default"
            disabled={offset === 0}
            onClick={() => onOffset(Math.max(0, offset - limit))}
          >
            {words.previous}
          </Button>
          <Button
            variant="default"
            disabled={end >= total}
            onClick={() => onOffset(offset + limit)}
          >
            {words.next}
          </Button>
        </Group>
      )}
    </Group>
  );
}
