import { Paper, Stack, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Navigate, useLocation, useNavigate, useSearchParams } from "react-router";
import { remember } from "@/api/client";
import { type SessionStatus, sessionQuery } from "@/api/session";
import { words } from "@/strings/sign-in";
import { Loaded } from "@/ui/Loaded";
import { CodeByMail } from "./CodeByMail";
import { Enrol } from "./Enrol";
import { ByLink, Factor } from "./forms";
import classes from "./SignIn.module.css";
import { nextStep, safeReturn, tokenIn } from "./steps";

/** Signing in: by a code of a mail or a link, then the second factor where one is asked for. */
export function SignInPage() {
  const [params] = useSearchParams();
  const session = useQuery(sessionQuery);
  const [token, dropToken] = useLinkToken();
  const client = useQueryClient();
  const [codes, setCodes] = useState<readonly string[] | null>(null);

  const proceed = (status: SessionStatus) => {
    dropToken();
    remember(status);
    // What was read as somebody else, or as nobody, is forgotten.
    client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== "session" });
    client.setQueryData(sessionQuery.queryKey, status);
  };
  useEffect(() => {
    document.title = `${words.title} · Wicket`;
  }, []);

  return (
    <main className={classes.page}>
      <Paper className={classes.box}>
        <Stack gap="md">
          <div className={classes.brand}>
            <img src="/favicon.svg" alt="" width={28} height={28} />
            <Title order={1}>{words.title}</Title>
          </div>
          <Loaded query={session}>
            {(status) => {
              switch (codes === null ? nextStep(status, token) : "enrol") {
                case "link":
                  return <ByLink token={token ?? ""} onDone={proceed} onGiveUp={dropToken} />;
                case "email":
                  return <CodeByMail signup={status.signup} onDone={proceed} />;
                case "factor":
                  return <Factor email={status.email ?? ""} onDone={proceed} />;
                case "enrol":
                  return (
                    <Enrol
                      codes={codes}
                      onCodes={setCodes}
                      onDone={proceed}
                      onSaved={() => setCodes(null)}
                    />
                  );
                case "done":
                  return <Navigate to={safeReturn(params.get("to"))} replace />;
              }
            }}
          </Loaded>
        </Stack>
      </Paper>
    </main>
  );
}

/** The token of the address, which is taken out of it at once: histories and shoulders keep addresses. */
function useLinkToken() {
  const { hash, pathname, search } = useLocation();
  const navigate = useNavigate();
  const [token, setToken] = useState(() => tokenIn(hash));
  useEffect(() => {
    const found = tokenIn(hash);
    if (found === null) return;
    setToken(found);
    navigate(pathname + search, { replace: true });
  }, [hash, pathname, search, navigate]);
  return [token, () => setToken(null)] as const;
}
