import type { components } from "./schema";

type Body = components["schemas"]["Problem"];

/** What the API answers when something cannot be done (RFC 9457), or that it did not answer at all. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  /** Stable, for code to look at; `message` is a sentence, for people. */
  readonly code: string;
  /** Which input was wrong. */
  readonly field: string | null;
  /** What the problem says beyond that. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(body: Partial<Body> & { status: number }) {
    super(sentence(body.detail ?? `the server answered ${body.status} and no reason`));
    this.status = body.status;
    this.code = body.code ?? "http_error";
    this.field = body.field ?? null;
    this.facts = { ...body };
  }

  /** Whether nothing came back: the network, or a server that is down. */
  get isUnreachable(): boolean {
    return this.status === 0;
  }

  static of(error: unknown): Problem {
    if (error instanceof Problem) return error;
    if (error instanceof TypeError)
      return new Problem({ status: 0, code: "unreachable", detail: UNREACHABLE });
    return new Problem({ status: 0, code: "unexpected", detail: String(error) });
  }
}

const UNREACHABLE = "this Wicket does not answer: check that it runs, and your connection";

/** The API's sentences begin small and end without a full stop; on a page they stand alone. */
function sentence(detail: string): string {
  const text = detail.charAt(0).toUpperCase() + detail.slice(1);
  return /[.?!]$/.test(text) ? text : `${text}.`;
}
