import { useCallback } from "react";
import { useSearchParams } from "react-router";

/** The state of a view, kept in its address: what is at its default is not written there. */
export function useAddress<T extends Record<string, string>>(defaults: T) {
  const [params, setParams] = useSearchParams();
  const state = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, params.get(name) ?? value]),
  ) as Record<keyof T, string>;
  const change = useCallback(
    (changed: Partial<Record<keyof T, string>>) => {
      setParams(
        (before) => {
          const after = new URLSearchParams(before);
          for (const [name, value] of Object.entries(changed)) {
            if (value === undefined || value === defaults[name]) after.delete(name);
            else after.set(name, value as string);
          }
          return after;
        },
        { replace: true },
      );
    },
    [setParams, defaults],
  );
  return [state, change] as const;
}
