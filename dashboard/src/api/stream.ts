/** Server-sent events over fetch (an `EventSource` cannot tell a refusal from a broken line), taken up where they broke. */
import { Problem } from "./problem";

export interface StreamEvent {
  event: string;
  data: string;
  /** The position to go on from, if the event has one. */
  id: string | null;
}

const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 15_000;

/** What is complete in `text`, and the rest that is still to come (HTML Living Standard, 9.2.6). */
export function parseEvents(text: string): [events: StreamEvent[], rest: string] {
  const blocks = text.split(/\r?\n\r?\n/);
  const rest = blocks.pop() ?? "";
  return [blocks.map(parseBlock), rest];
}

function parseBlock(block: string): StreamEvent {
  const found: StreamEvent = { event: "message", data: "", id: null };
  const lines: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const [, name, value = ""] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (name === "data") lines.push(value);
    if (name === "event") found.event = value;
    if (name === "id") found.id = value;
  }
  return { ...found, data: lines.join("\n") };
}

export interface Listening {
  signal: AbortSignal;
  onEvent: (event: StreamEvent) => void;
  /** Whether events come in; false while a broken line is being mended. */
  onLive: (live: boolean) => void;
}

/** Listen until the signal ends it; throws `Problem` where the server refuses, which trying again does not mend. */
export async function listen(path: string, { signal, onEvent, onLive }: Listening): Promise<void> {
  let position: string | null = null;
  let pauseMs = PAUSE_MIN_MS;
  while (!signal.aborted) {
    try {
      const headers: HeadersInit = position === null ? {} : { "Last-Event-ID": position };
      const response = await fetch(path, {
        headers: { Accept: "text/event-stream", ...headers },
        signal,
      });
      if (response.status >= 400 && response.status < 500) {
        throw new Problem({ ...(await response.json()), status: response.status });
      }
      if (response.ok && response.body !== null) {
        onLive(true);
        pauseMs = PAUSE_MIN_MS;
        await read(response.body, (event) => {
          position = event.id ?? position;
          if (event.data !== "") onEvent(event);
        });
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
    }
    if (signal.aborted) return;
    onLive(false);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS);
  }
}

async function read(body: ReadableStream<Uint8Array>, onEvent: (event: StreamEvent) => void) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const [events, left] = parseEvents(rest + decoder.decode(value, { stream: true }));
    rest = left;
    events.forEach(onEvent);
  }
}
