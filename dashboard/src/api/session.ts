import { queryOptions, useQuery } from "@tanstack/react-query";
import { answer, api, remember, type Schemas } from "./client";

export type SessionStatus = Schemas["StatusOut"];

/** Who is signed in, and what they still owe; asked again whenever an answer says that this has changed. */
export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: async ({ signal }) => {
    const status = await answer(api.GET("/api/auth/status", { signal }));
    remember(status);
    return status;
  },
  staleTime: 60_000,
});

/** Whether a session may see the dashboard: signed in, and with a second factor where one is asked for. */
export function isWhole(status: SessionStatus): boolean {
  return status.authenticated && (!status.mfa?.required || status.mfa.passed);
}

/** The address of who is signed in; empty before that is known. */
export function useEmail(): string {
  return useQuery(sessionQuery).data?.email ?? "";
}
