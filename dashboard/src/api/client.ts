/**
 * The API, typed by its own description. Every call is `answer(api.GET(...))`: what comes back is the body, and what
 * goes wrong is thrown as a `Problem`.
 */
import createClient from "openapi-fetch";
import { Problem } from "./problem";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

const CSRF = "X-Wicket-CSRF";
const READING = new Set(["GET", "HEAD"]);

let csrf: string | null = null;

/** Remember the token of the page's session: it changes with the cookie, and every answer about the session has it. */
export function remember(status: Schemas["StatusOut"]): void {
  csrf = status.csrfToken ?? null;
}

/** Send a request; one whose token is of an older session of this browser is sent once more, with the new one. */
async function send(request: Request): Promise<Response> {
  if (READING.has(request.method)) return fetch(request);
  const again = request.clone();
  if (csrf !== null) request.headers.set(CSRF, csrf);
  const response = await fetch(request);
  if (response.status !== 403 || (await codeOf(response.clone())) !== "csrf_failed")
    return response;
  remember(await (await fetch("/api/auth/status")).json());
  if (csrf === null) return response;
  again.headers.set(CSRF, csrf);
  return fetch(again);
}

async function codeOf(response: Response): Promise<unknown> {
  return response
    .json()
    .then((body) => body.code)
    .catch(() => null);
}

export const api = createClient<paths>({ fetch: send });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of an answer; throws `Problem`. */
export async function answer<T>(asked: Promise<Answer<T>>): Promise<T> {
  return (await tagged(asked)).value;
}

/** A body, and which state of the thing it is: sent back as `If-Match`, it keeps us from undoing another's change. */
export interface Tagged<T> {
  value: T;
  etag: string | null;
}

/** The same with its entity tag. */
export async function tagged<T>(asked: Promise<Answer<T>>): Promise<Tagged<T>> {
  const { data, error, response } = await asked.catch((failed: unknown) => {
    throw Problem.of(failed);
  });
  if (!response.ok) {
    const body = typeof error === "object" ? error : {};
    throw new Problem({ ...body, status: response.status });
  }
  return { value: data as T, etag: response.headers.get("ETag") };
}
