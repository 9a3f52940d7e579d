import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { Problem } from "@/api/problem";
import { sessionQuery } from "@/api/session";

const SESSION_CODES = new Set(["unauthenticated", "mfa_required", "mfa_setup_required"]);
const TRIES = 2;

/** Every failed question passes here: one that says who we are has changed has the session read again. */
function look(error: Error): void {
  const problem = Problem.of(error);
  setReachable(!problem.isUnreachable);
  if (SESSION_CODES.has(problem.code)) void client.invalidateQueries(sessionQuery);
}

export const client = new QueryClient({
  queryCache: new QueryCache({ onError: look, onSuccess: () => setReachable(true) }),
  mutationCache: new MutationCache({ onError: look, onSuccess: () => setReachable(true) }),
  defaultOptions: {
    // Always: an instance on this machine is there without any network.
    queries: {
      networkMode: "always",
      staleTime: 10_000,
      retry: (count, error) => Problem.of(error).isUnreachable && count < TRIES,
    },
    mutations: { networkMode: "always" },
  },
});

let reachable = true;
const listeners = new Set<() => void>();

function setReachable(now: boolean): void {
  if (now === reachable) return;
  reachable = now;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether the last question was answered at all. */
export function useReachable(): boolean {
  return useSyncExternalStore(subscribe, () => reachable);
}
