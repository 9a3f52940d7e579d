import { Skeleton, Stack } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { ErrorState } from "./ErrorState";
import { PageHeader } from "./PageHeader";

/** The part of a question's state that a view needs; a query of TanStack Query is one. */
interface Asked<T> {
  data: T | undefined;
  error: Error | null;
  refetch: () => unknown;
}

interface Props<T> {
  query: Asked<T>;
  skeleton?: ReactNode;
  /** Where the page's own heading is part of what is loaded: what stands there when nothing could be. */
  heading?: string;
  children: (data: T) => ReactNode;
}

const PATIENCE_MS = 300;

/** The states of a view: nothing for a moment, a skeleton, an error with a way out, the thing itself. */
export function Loaded<T>({ query, skeleton = <Lines />, heading, children }: Props<T>) {
  if (query.data !== undefined) return children(query.data);
  if (query.error !== null) {
    return (
      <>
        {heading && <PageHeader title={heading} />}
        <ErrorState error={query.error} onRetry={query.refetch} />
      </>
    );
  }
  return <Patiently>{skeleton}</Patiently>;
}

/** Shown only to who had to wait: what flickers is slower than what is blank. */
export function Patiently({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, []);
  return shown ? <div aria-busy="true">{children}</div> : null;
}

/** Lines of text that are still to come. */
export function Lines({ count = 5 }: { count?: number }) {
  return (
    <Stack gap="xs">
      {Array.from({ length: count }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <Skeleton key={line} height={26} />
      ))}
    </Stack>
  );
}
