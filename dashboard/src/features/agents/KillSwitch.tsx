import { Button, List, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { IconBan, IconPlayerPlay } from "@tabler/icons-react";
import { useState } from "react";
import { type Agent, useSetStatus } from "@/api/agents";
import { words } from "@/strings/agents";
import { ConfirmDialog } from "@/ui/ConfirmDialog";
import { Refusal } from "@/ui/ErrorState";

const REASON_MAX = 500;

/** Stops an agent, saying first what stops; starts it again. */
export function KillSwitch({ agent }: { agent: Agent }) {
  return agent.status === "active" ? <Disable agent={agent} /> : <Enable agent={agent} />;
}

function Disable({ agent }: { agent: Agent }) {
  const [opened, dialog] = useDisclosure();
  const [reason, setReason] = useState("");
  const setStatus = useSetStatus(agent.id);
  const stop = () =>
    setStatus.mutate(
      { status: "disabled", ...(reason.trim() === "" ? {} : { reason: reason.trim() }) },
      {
        onSuccess: () => {
          dialog.close();
          notifications.show({ message: words.stopped(agent.name), color: "gray" });
        },
      },
    );
  return (
    <>
      <Button
        variant="outline"
        color="red"
        leftSection={<IconBan size={15} aria-hidden />}
        onClick={dialog.open}
      >
        {words.disable}
      </Button>
      <ConfirmDialog
        opened={opened}
        onClose={dialog.close}
        title={words.disableTitle(agent.name)}
        action={words.disable}
        onConfirm={stop}
        pending={setStatus.isPending}
        error={setStatus.error}
      >
        <Text>{words.whatStops}</Text>
        <List size="sm" spacing={4}>
          {words.stops.map((line) => (
            <List.Item key={line}>{line}</List.Item>
          ))}
        </List>
        <TextInput
          label={words.reason}
          description={words.reasonHow}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
          maxLength={REASON_MAX}
          data-autofocus
        />
      </ConfirmDialog>
    </>
  );
}

function Enable({ agent }: { agent: Agent }) {
  const setStatus = useSetStatus(agent.id);
  return (
    <>
      <Button
        leftSection={<IconPlayerPlay size={15} aria-hidden />}
        loading={setStatus.isPending}
        onClick={() => setStatus.mutate({ status: "active" })}
      >
        {words.enable}
      </Button>
      <Refusal error={setStatus.error} />
    </>
  );
}
