import { Group, Select, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { type ReactNode, useEffect, useState } from "react";

/** What narrows a list: one row above it, whose state is the address of the page. */
export function FilterBar({ children }: { children: ReactNode }) {
  return (
    <Group component="search" gap="xs" mb="sm" align="end">
      {children}
    </Group>
  );
}

interface SearchProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

const TYPING_MS = 250;

/** Text to look for; it takes the place of `/` on the keyboard. */
export function Search({ label, value, onChange }: SearchProps) {
  const [typed, setTyped] = useState(value);
  const tell = useDebouncedCallback(onChange, TYPING_MS);
  useEffect(() => setTyped(value), [value]);
  return (
    <TextInput
      type="search"
      aria-label={label}
      placeholder={label}
      data-search
      w={{ base: "100%", xs: 240 }}
      leftSection={<IconSearch size={15} aria-hidden />}
      value={typed}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        tell(event.currentTarget.value);
      }}
    />
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  /** value -> word */
  options: Readonly<Record<string, string>>;
  onChange: (value: string) => void;
}

/** One of a few words, or any of them. */
export function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <Select
      aria-label={label}
      placeholder={label}
      clearable
      w={{ base: "calc(50% - 5px)", xs: 140 }}
      data={Object.entries(options).map(([one, word]) => ({ value: one, label: word }))}
      value={value === "" ? null : value}
      onChange={(chosen) => onChange(chosen ?? "")}
    />
  );
}
