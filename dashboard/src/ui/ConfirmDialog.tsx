import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { words } from "@/strings/ui";
import { Refusal } from "./ErrorState";

interface Props {
  opened: boolean;
  onClose: () => void;
  title: string;
  /** What happens, and what stops. */
  children: ReactNode;
  /** What the button does: "Delete agent", never "OK". */
  action: string;
  onConfirm: () => void;
  pending: boolean;
  error: Error | null;
  /** Where nothing brings it back: what has to be typed first. */
  typed?: string;
}

/** Asks before something is stopped or lost. */
export function ConfirmDialog({
  opened,
  onClose,
  title,
  children,
  action,
  onConfirm,
  pending,
  error,
  typed,
}: Props) {
  const [said, setSaid] = useState("");
  const may = typed === undefined || said === typed;
  return (
    <Modal opened={opened} onClose={onClose} title={title}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (may && !pending) onConfirm();
        }}
      >
        <Stack gap="sm">
          {children}
          {typed !== undefined && (
            <TextInput
              label={words.typeToConfirm(typed)}
              value={said}
              onChange={(event) => setSaid(event.currentTarget.value)}
              autoComplete="off"
              data-autofocus
            />
          )}
          <Refusal error={error} />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              {words.cancel}
            </Button>
            <Button type="submit" color="red" loading={pending} disabled={!may}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
