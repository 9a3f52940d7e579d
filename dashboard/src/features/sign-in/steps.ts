import { isWhole, type SessionStatus } from "@/api/session";

export type Step = "link" | "email" | "factor" | "enrol" | "done";

/** What comes next for who wants in; the server says what is owed, the address whether there is a link to use. */
export function nextStep(status: SessionStatus, linkToken: string | null): Step {
  if (linkToken !== null) return "link";
  if (!status.authenticated) return "email";
  if (isWhole(status)) return "done";
  return status.mfa?.enrolled ? "factor" : "enrol";
}

/** Where to go afterwards: only ever an address of this dashboard, whatever a link says. */
export function safeReturn(to: string | null): string {
  return to !== null && /^\/(?![/\\])[^\\]*$/.test(to) && !to.startsWith("/sign-in") ? to : "/";
}

/** The token of a link as `wicket login` prints it: behind the `#`, so that no server and no log sees it. */
export function tokenIn(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, "")).get("token");
}
