import { Anchor, Button, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api } from "@/api/client";
import type { SessionStatus } from "@/api/session";
import { words } from "@/strings/sign-in";
import { Refusal } from "@/ui/ErrorState";
import classes from "./SignIn.module.css";

interface LinkProps {
  token: string;
  onDone: (status: SessionStatus) => void;
  onGiveUp: () => void;
}

/** A link signs in only who says so: opening one that somebody sent must not make one somebody else. */
export function ByLink({ token, onDone, onGiveUp }: LinkProps) {
  const verify = useMutation({
    mutationFn: () => answer(api.POST("/api/auth/verify", { body: { token } })),
    onSuccess: onDone,
  });
  return (
    <Stack gap="sm">
      <Text>{words.byLink}</Text>
      <Refusal error={verify.error} />
      <Button size="sm" loading={verify.isPending} onClick={() => verify.mutate()}>
        {words.signInByLink}
      </Button>
      <Anchor component="button" type="button" size="sm" onClick={onGiveUp}>
        {words.byCodeInstead}
      </Anchor>
    </Stack>
  );
}

interface FactorProps {
  email: string;
  onDone: (status: SessionStatus) => void;
}

/** The second factor: of the authenticator, or a backup code. */
export function Factor({ email, onDone }: FactorProps) {
  const [backup, setBackup] = useState(false);
  const show = useMutation({
    mutationFn: (code: string) => answer(api.POST("/api/auth/mfa/verify", { body: { code } })),
    onSuccess: onDone,
  });
  return (
    <Stack gap="sm">
      <Text className="wraps">{words.factorFor(email)}</Text>
      <CodeForm
        key={String(backup)}
        label={backup ? words.backupCode : words.totp}
        digits={!backup}
        action={words.continue}
        pending={show.isPending}
        error={show.error}
        onCode={(code) => show.mutate(code)}
      />
      <Anchor component="button" type="button" size="sm" onClick={() => setBackup(!backup)}>
        {backup ? words.useAuthenticator : words.useBackup}
      </Anchor>
    </Stack>
  );
}

interface CodeProps {
  label: string;
  digits: boolean;
  action: string;
  pending: boolean;
  error: Error | null;
  onCode: (code: string) => void;
}

/** A field for a code that is typed or pasted, and filled in by the browser where it can. */
export function CodeForm({ label, digits, action, pending, error, onCode }: CodeProps) {
  const [code, setCode] = useState("");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (code.trim() !== "") onCode(code.trim());
      }}
    >
      <Stack gap="sm">
        <TextInput
          label={label}
          value={code}
          onChange={(event) => setCode(event.currentTarget.value)}
          classNames={{ input: classes.code ?? "" }}
          autoComplete="one-time-code"
          autoCapitalize="characters"
          inputMode={digits ? "numeric" : "text"}
          spellCheck={false}
          required
          autoFocus
        />
        <Refusal error={error} />
        <Button type="submit" size="sm" loading={pending}>
          {action}
        </Button>
      </Stack>
    </form>
  );
}
