import type { AgentsAsked } from "@/api/agents";

/** What the list shows when its address says nothing. */
export const DEFAULTS = {
  search: "",
  status: "",
  role: "",
  tag: "",
  sortBy: "createdAt",
  sortDir: "desc",
  offset: "0",
};
export const PAGE = 50;

type State = Record<keyof typeof DEFAULTS, string>;

/** The address as a question. What somebody wrote into it by hand and nothing understands is left out. */
export function asked(state: State): AgentsAsked {
  const offset = Number(state.offset);
  return {
    limit: PAGE,
    offset: Number.isSafeInteger(offset) && offset >= 0 ? offset : 0,
    sortBy: oneOf(["name", "createdAt", "status"], state.sortBy) ?? "createdAt",
    sortDir: oneOf(["asc", "desc"], state.sortDir) ?? "desc",
    ...given("search", state.search.trim() || null),
    ...given("tag", state.tag || null),
    ...given("status", oneOf(["active", "disabled"], state.status)),
    ...given("role", oneOf(["owner", "member"], state.role)),
  };
}

export function isFiltered(state: State): boolean {
  return [state.search, state.status, state.role, state.tag].some((value) => value !== "");
}

function oneOf<const T extends string>(known: readonly T[], value: string): T | null {
  return known.find((one) => one === value) ?? null;
}

function given<K extends string, T>(name: K, value: T | null): { [name in K]?: T } {
  return value === null ? {} : ({ [name]: value } as { [name in K]?: T });
}
