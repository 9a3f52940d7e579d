import { Alert, Button, Group } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { words } from "@/strings/ui";

interface Props {
  error: Error;
  onRetry?: () => unknown;
}

/** What could not be shown, and why. */
export function ErrorState({ error, onRetry }: Props) {
  return (
    <Alert
      role="alert"
      color="gray"
      variant="outline"
      icon={<IconAlertTriangle aria-hidden />}
      title={words.failed}
      maw={640}
    >
      {error.message}
      {onRetry && (
        <Group mt="sm">
          <Button variant="default" onClick={() => onRetry()}>
            {words.retry}
          </Button>
        </Group>
      )}
    </Alert>
  );
}

/** Why something was not done, under the form that asked for it. */
export function Refusal({ error }: { error: Error | null }) {
  if (error === null) return null;
  return (
    <Alert role="alert" color="gray" variant="outline" icon={<IconAlertTriangle aria-hidden />}>
      {error.message}
    </Alert>
  );
}
