import { Tooltip } from "@mantine/core";
import { useEffect, useReducer } from "react";
import { ago, instant } from "./time";

const TICK_MS = 30_000;

/** When something was, told from now; the instant itself is at hand, by pointer and by keyboard. */
export function Ago({ at }: { at: string }) {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(tick, TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const when = new Date(at);
  return (
    <Tooltip label={instant(when)} events={{ hover: true, focus: true, touch: true }}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the instant is reached by keyboard too (WCAG 1.4.13) */}
      <time dateTime={at} tabIndex={0}>
        {ago(when, new Date())}
      </time>
    </Tooltip>
  );
}
