import {
  Alert,
  Button,
  Group,
  NumberInput,
  Select,
  Stack,
  TagsInput,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import {
  type Agent,
  type AgentSettings,
  agentSettingsQuery,
  useDeleteAgent,
  usePutSettings,
  useUpdateAgent,
} from "@/api/agents";
import type { Tagged } from "@/api/client";
import { words } from "@/strings/agents";
import { ConfirmDialog } from "@/ui/ConfirmDialog";
import { Refusal } from "@/ui/ErrorState";
import { Loaded } from "@/ui/Loaded";
import { useAgent } from "./AgentPage";

/** What an agent is called and how it differs from the instance; members read it, the owner changes it. */
export function AgentSettingsTab() {
  const tagged = useAgent();
  const settings = useQuery(agentSettingsQuery(tagged.value.id));
  const readonly = tagged.value.role !== "owner";
  return (
    <Stack gap="xl" maw={560}>
      {readonly && (
        <Alert color="gray" variant="outline">
          {words.readonly}
        </Alert>
      )}
      <NameForm key={`name ${tagged.etag}`} tagged={tagged} readonly={readonly} />
      <Loaded query={settings}>
        {(found) => (
          <SettingsForm
            key={found.etag}
            agentId={tagged.value.id}
            tagged={found}
            readonly={readonly}
          />
        )}
      </Loaded>
      {!readonly && <DeleteAgent agent={tagged.value} />}
    </Stack>
  );
}

const saved = () => notifications.show({ message: words.saved, color: "gray" });

function NameForm({ tagged, readonly }: { tagged: Tagged<Agent>; readonly: boolean }) {
  const agent = tagged.value;
  const [name, setName] = useState(agent.name);
  const [tags, setTags] = useState([...agent.tags]);
  const update = useUpdateAgent(agent.id);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        update.mutate({ name, tags, etag: tagged.etag }, { onSuccess: saved });
      }}
    >
      <Stack gap="sm">
        <Title order={2}>{words.naming}</Title>
        <TextInput
          label={words.name}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={100}
          readOnly={readonly}
          required
        />
        <TagsInput
          label={words.tags}
          value={tags}
          onChange={setTags}
          maxTags={20}
          readOnly={readonly}
        />
        <Refusal error={update.error} />
        {!readonly && <Save pending={update.isPending} />}
      </Stack>
    </form>
  );
}

interface SettingsProps {
  agentId: string;
  tagged: Tagged<AgentSettings>;
  readonly: boolean;
}

function SettingsForm({ agentId, tagged, readonly }: SettingsProps) {
  const [settings, setSettings] = useState(tagged.value);
  const put = usePutSettings(agentId);
  const set = (changed: Partial<AgentSettings>) => setSettings({ ...settings, ...changed });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        put.mutate({ ...settings, etag: tagged.etag }, { onSuccess: saved });
      }}
    >
      <Stack gap="sm">
        <Title order={2}>{words.limits}</Title>
        <Group grow align="start" preventGrowOverflow={false}>
          <NumberInput
            label={words.rateBurst}
            description={words.rateBurstHow}
            placeholder={words.instances}
            value={settings.rateBurst ?? ""}
            onChange={(value) => set({ rateBurst: value === "" ? null : Number(value) })}
            min={1}
            allowDecimal={false}
            readOnly={readonly}
          />
          <NumberInput
            label={words.ratePerSecond}
            description={words.ratePerSecondHow}
            placeholder={words.instances}
            value={settings.ratePerSecond ?? ""}
            onChange={(value) => set({ ratePerSecond: value === "" ? null : Number(value) })}
            min={0.01}
            readOnly={readonly}
          />
        </Group>
        <Select
          label={words.denialShape}
          description={words.denialShapeHow}
          data={Object.entries(words.denialShapes).map(([value, label]) => ({ value, label }))}
          value={settings.denialShape}
          onChange={(value) =>
            set({ denialShape: (value ?? "error") as AgentSettings["denialShape"] })
          }
          allowDeselect={false}
          readOnly={readonly}
        />
        <Select
          label={words.timeZone}
          description={words.timeZoneHow}
          placeholder={words.instances}
          data={Intl.supportedValuesOf("timeZone")}
          value={settings.timeZone}
          onChange={(timeZone) => set({ timeZone })}
          searchable
          clearable={!readonly}
          limit={50}
          readOnly={readonly}
        />
        <Refusal error={put.error} />
        {!readonly && <Save pending={put.isPending} />}
      </Stack>
    </form>
  );
}

function Save({ pending }: { pending: boolean }) {
  return (
    <Group>
      <Button type="submit" loading={pending}>
        {words.save}
      </Button>
    </Group>
  );
}

function DeleteAgent({ agent }: { agent: Agent }) {
  const [opened, dialog] = useDisclosure();
  const navigate = useNavigate();
  const remove = useDeleteAgent(agent.id);
  return (
    <Stack gap="xs" align="flex-start">
      <Title order={2}>{words.deleting}</Title>
      <Text className="soft" fz="sm">
        {words.deletingHow}
      </Text>
      <Button variant="outline" color="red" onClick={dialog.open}>
        {words.delete}
      </Button>
      <ConfirmDialog
        opened={opened}
        onClose={dialog.close}
        title={words.deleteTitle(agent.name)}
        action={words.delete}
        onConfirm={() => remove.mutate(undefined, { onSuccess: () => navigate("/agents") })}
        pending={remove.isPending}
        error={remove.error}
        typed={agent.name}
      >
        <Text>{words.deletingHow}</Text>
      </ConfirmDialog>
    </Stack>
  );
}
