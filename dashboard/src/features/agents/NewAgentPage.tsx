import { Button, Group, Radio, Stack, TagsInput, TextInput } from "@mantine/core";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { type Agent, useCreateAgent } from "@/api/agents";
import { words } from "@/strings/agents";
import { Refusal } from "@/ui/ErrorState";
import { PageHeader } from "@/ui/PageHeader";

const MODES: Agent["trustMode"][] = ["trusted", "untrusted"];

/** A new agent. How far its members are trusted is asked now, because it never changes. */
export function NewAgentPage() {
  const [name, setName] = useState("");
  const [tags, setTags] = useState<string[]>([]);
  const [trustMode, setTrustMode] = useState<Agent["trustMode"]>("trusted");
  const navigate = useNavigate();
  const create = useCreateAgent();
  return (
    <>
      <PageHeader title={words.newTitle} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(
            { name, trustMode, tags },
            { onSuccess: (agent) => navigate(`/agents/${agent.id}`) },
          );
        }}
      >
        <Stack maw={560}>
          <TextInput
            label={words.name}
            description={words.nameHow}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            maxLength={100}
            required
            autoFocus
          />
          <Radio.Group
            label={words.trust}
            description={words.trustHow}
            value={trustMode}
            onChange={(mode) => setTrustMode(mode === "untrusted" ? "untrusted" : "trusted")}
          >
            <Stack gap="xs" mt="xs">
              {MODES.map((mode) => (
                <Radio
                  key={mode}
                  value={mode}
                  label={words.trustModes[mode]}
                  description={words.trustMeans[mode]}
                />
              ))}
            </Stack>
          </Radio.Group>
          <TagsInput
            label={words.tags}
            description={words.tagsHow}
            value={tags}
            onChange={setTags}
            maxTags={20}
          />
          <Refusal error={create.error} />
          <Group gap="xs">
            <Button type="submit" loading={create.isPending}>
              {words.create}
            </Button>
            <Button variant="default" component={Link} to="/agents">
              {words.cancel}
            </Button>
          </Group>
        </Stack>
      </form>
    </>
  );
}
