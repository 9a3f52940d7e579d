import { Button, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api } from "@/api/client";
import type { SessionStatus } from "@/api/session";
import { words } from "@/strings/sign-in";
import { Copy, Identifier } from "@/ui/Identifier";
import { Loaded } from "@/ui/Loaded";
import { CodeForm } from "./forms";
import classes from "./SignIn.module.css";

interface Props {
  codes: readonly string[] | null;
  onCodes: (codes: readonly string[]) => void;
  onDone: (status: SessionStatus) => void;
  onSaved: () => void;
}

/** Setting up the second factor that this instance asks for: scan, prove, keep the backup codes. */
export function Enrol({ codes, onCodes, onDone, onSaved }: Props) {
  // Asked once a visit: each asking makes another secret, and voids the one that was scanned.
  const [visit] = useState(() => Date.now());
  const setup = useQuery({
    queryKey: ["enrolment", visit],
    queryFn: () => answer(api.POST("/api/auth/mfa/setup")),
    enabled: codes === null,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const confirm = useMutation({
    mutationFn: (code: string) =>
      answer(api.POST("/api/auth/mfa/verify-setup", { body: { code } })),
    onSuccess: ({ backupCodes, ...status }) => {
      onCodes(backupCodes);
      onDone(status);
    },
  });
  if (codes !== null) return <BackupCodes codes={codes} onSaved={onSaved} />;
  return (
    <Loaded query={setup}>
      {({ secret, qrSvg }) => (
        <Stack gap="sm">
          <Text>{words.enrol}</Text>
          <img
            className={classes.qr}
            src={`data:image/svg+xml;utf8,${encodeURIComponent(qrSvg)}`}
            alt={words.qr}
          />
          <Text size="sm" component="div" className="soft">
            {words.secret} <Identifier value={secret} label={words.theSecret} />
          </Text>
          <CodeForm
            label={words.totp}
            digits
            action={words.setUp}
            pending={confirm.isPending}
            error={confirm.error}
            onCode={(code) => confirm.mutate(code)}
          />
        </Stack>
      )}
    </Loaded>
  );
}

function BackupCodes({ codes, onSaved }: { codes: readonly string[]; onSaved: () => void }) {
  return (
    <Stack gap="sm">
      <Text>{words.backupCodes}</Text>
      <ul className={classes.codes}>
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ul>
      <Text size="sm" component="div">
        {words.copyAll} <Copy value={codes.join("\n")} label={words.theCodes} />
      </Text>
      <Button size="sm" onClick={onSaved}>
        {words.saved}
      </Button>
    </Stack>
  );
}
