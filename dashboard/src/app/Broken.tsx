import { Anchor, Button, Group, Stack, Text, Title } from "@mantine/core";
import { Link, useLocation, useRouteError } from "react-router";
import { words } from "@/strings/app";
import { PageHeader } from "@/ui/PageHeader";
import { PLACES } from "./navigation";

/** A page that could not be drawn, or not be loaded: after an upgrade its files have other names. */
export function Broken() {
  const error = useRouteError();
  return (
    <Stack p="lg" gap="xs" align="flex-start" role="alert">
      <Title order={1}>{words.broken}</Title>
      <Text>{words.brokenHow}</Text>
      <Text className="mono wraps soft">
        {error instanceof Error ? error.message : String(error)}
      </Text>
      <Group>
        <Button onClick={() => location.reload()}>{words.reload}</Button>
      </Group>
    </Stack>
  );
}

/** An address that no page has. */
export function NotFound() {
  return (
    <Stack gap="xs" align="flex-start">
      <PageHeader title={words.notFound} />
      <Text>{words.notFoundHow}</Text>
      <Anchor component={Link} to="/agents">
        {words.toAgents}
      </Anchor>
    </Stack>
  );
}

/** An address whose page this version does not have: what it would do is done otherwise. */
export function Later() {
  const { pathname } = useLocation();
  const place = PLACES.find(({ to }) => to === pathname);
  return (
    <Stack gap="xs" align="flex-start">
      {place && <PageHeader title={place.label} />}
      <Title order={2}>{words.later}</Title>
      <Text>
        {words.laterHow}{" "}
        <Anchor href="/api/docs" underline="always">
          {words.apiDocs}
        </Anchor>
      </Text>
    </Stack>
  );
}
