/** Questions and changes about agents: keys begin with the noun, so that a change can say what it made stale. */
import { keepPreviousData, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api, type Schemas, tagged } from "./client";
import type { paths } from "./schema";

export type Agent = Schemas["AgentOut"];
export type AgentSettings = Schemas["SettingsOut"];
export type AgentsAsked = NonNullable<paths["/api/agents"]["get"]["parameters"]["query"]>;

export const agentsQuery = (asked: AgentsAsked) =>
  queryOptions({
    queryKey: ["agents", asked],
    queryFn: ({ signal }) => answer(api.GET("/api/agents", { params: { query: asked }, signal })),
    placeholderData: keepPreviousData,
  });

export const agentQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId],
    queryFn: ({ signal }) =>
      tagged(api.GET("/api/agents/{agentId}", { params: { path: { agentId } }, signal })),
  });

export const agentSettingsQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId, "settings"],
    queryFn: ({ signal }) =>
      tagged(api.GET("/api/agents/{agentId}/settings", { params: { path: { agentId } }, signal })),
  });

export const agentStatsQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId, "stats"],
    queryFn: ({ signal }) =>
      answer(api.GET("/api/dashboard/stats", { params: { query: { agentId } }, signal })),
    refetchInterval: 30_000,
  });

export const agentMembersQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId, "members"],
    queryFn: ({ signal }) =>
      answer(api.GET("/api/agents/{agentId}/members", { params: { path: { agentId } }, signal })),
  });

export const agentPoliciesQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agent", agentId, "policies"],
    queryFn: ({ signal }) =>
      answer(api.GET("/api/agents/{agentId}/policies", { params: { path: { agentId } }, signal })),
  });

export function useCreateAgent() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas["AgentIn"]) => answer(api.POST("/api/agents", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["agents"] }),
  });
}

/** What every change of one agent has in common: afterwards it and the lists it is in are read again. */
function useAgentChange<T, R>(agentId: string, change: (given: T) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: ["agent", agentId] }),
        client.invalidateQueries({ queryKey: ["agents"] }),
      ]),
  });
}

/** The kill switch. It sends no `If-Match`: whatever else has changed, a stop stops. */
export function useSetStatus(agentId: string) {
  return useAgentChange(agentId, (body: Schemas["StatusIn"]) =>
    answer(api.PUT("/api/agents/{agentId}/status", { params: { path: { agentId } }, body })),
  );
}

export function useUpdateAgent(agentId: string) {
  return useAgentChange(
    agentId,
    ({ etag, ...body }: Schemas["AgentChangeIn"] & { etag: string | null }) =>
      answer(
        api.PUT("/api/agents/{agentId}", {
          params: { path: { agentId }, header: ifMatch(etag) },
          body,
        }),
      ),
  );
}

export function usePutSettings(agentId: string) {
  return useAgentChange(agentId, ({ etag, ...body }: AgentSettings & { etag: string | null }) =>
    answer(
      api.PUT("/api/agents/{agentId}/settings", {
        params: { path: { agentId }, header: ifMatch(etag) },
        body,
      }),
    ),
  );
}

export function useDeleteAgent(agentId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () =>
      answer(api.DELETE("/api/agents/{agentId}", { params: { path: { agentId } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["agents"] }),
  });
}

function ifMatch(etag: string | null) {
  return etag === null ? {} : { "If-Match": etag };
}
