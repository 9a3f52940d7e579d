import { Anchor, Button, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api } from "@/api/client";
import type { SessionStatus } from "@/api/session";
import { words } from "@/strings/sign-in";
import { Refusal } from "@/ui/ErrorState";
import { CodeForm } from "./forms";

interface Props {
  /** Who may come without an account. */
  signup: string;
  onDone: (status: SessionStatus) => void;
}

/** An address, then the code that was sent there. */
export function CodeByMail({ signup, onDone }: Props) {
  const [email, setEmail] = useState("");
  const ask = useMutation({
    mutationFn: () => answer(api.POST("/api/auth/magic-link", { body: { email: email.trim() } })),
  });
  const verify = useMutation({
    mutationFn: (code: string) =>
      answer(api.POST("/api/auth/verify", { body: { email: email.trim(), code } })),
    onSuccess: onDone,
  });
  if (ask.data !== undefined) {
    return (
      <Stack gap="sm">
        <Text className="wraps" aria-live="polite">
          {words.sent(email.trim(), Math.round(ask.data.expiresInS / 60))}
        </Text>
        <CodeForm
          label={words.mailCode}
          digits={false}
          action={words.signIn}
          pending={verify.isPending}
          error={verify.error}
          onCode={(code) => verify.mutate(code)}
        />
        <Anchor
          component="button"
          type="button"
          size="sm"
          onClick={() => {
            ask.reset();
            verify.reset();
          }}
        >
          {words.otherAddress}
        </Anchor>
      </Stack>
    );
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        ask.mutate();
      }}
    >
      <Stack gap="sm">
        <TextInput
          type="email"
          label={words.email}
          description={words.whoMay(signup)}
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
          autoComplete="email"
          required
          autoFocus
        />
        <Refusal error={ask.error} />
        <Button type="submit" size="sm" loading={ask.isPending}>
          {words.sendCode}
        </Button>
        <Text size="sm" className="soft">
          {words.noMail} <code>wicket login</code>
        </Text>
      </Stack>
    </form>
  );
}
