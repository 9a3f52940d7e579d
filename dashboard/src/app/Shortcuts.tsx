import { Kbd, Modal, Switch, Table } from "@mantine/core";
import { useLocalStorage } from "@mantine/hooks";
import { type ReactNode, useEffect, useRef } from "react";
import { useNavigate } from "react-router";
import { words } from "@/strings/app";
import { IDLE, press } from "./keys";
import { PLACES } from "./navigation";

interface Props {
  opened: boolean;
  onOpen: () => void;
  onClose: () => void;
}

/** Single keys as shortcuts, the sheet that explains them, and the switch that turns them off (WCAG 2.1.4). */
export function Shortcuts({ opened, onOpen, onClose }: Props) {
  const [enabled, setEnabled] = useLocalStorage({ key: "wicket-shortcuts", defaultValue: true });
  usePressed(enabled, onOpen);
  return (
    <Modal opened={opened} onClose={onClose} title={words.shortcuts}>
      <Table fz="sm" mb="md">
        <Table.Tbody>
          <Line does={words.palette}>
            <Kbd>Ctrl</Kbd> <Kbd>K</Kbd>
          </Line>
          <Line does={words.search}>
            <Kbd>/</Kbd>
          </Line>
          {PLACES.map((place) => (
            <Line key={place.to} does={words.goTo(place.label)}>
              <Kbd>g</Kbd> <Kbd>{place.key}</Kbd>
            </Line>
          ))}
          <Line does={words.shortcuts}>
            <Kbd>?</Kbd>
          </Line>
        </Table.Tbody>
      </Table>
      <Switch
        label={words.shortcutsOn}
        checked={enabled}
        onChange={(event) => setEnabled(event.currentTarget.checked)}
      />
    </Modal>
  );
}

function Line({ does, children }: { does: string; children: ReactNode }) {
  return (
    <Table.Tr>
      <Table.Td>{children}</Table.Td>
      <Table.Td>{does}</Table.Td>
    </Table.Tr>
  );
}

function usePressed(enabled: boolean, onHelp: () => void) {
  const navigate = useNavigate();
  const keys = useRef(IDLE);
  useEffect(() => {
    if (!enabled) return;
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isTyping(event.target)) return;
      keys.current = press(keys.current, event);
      const meaning = keys.current.meaning;
      if (meaning === null) return;
      event.preventDefault();
      if (meaning.kind === "help") onHelp();
      if (meaning.kind === "search")
        document.querySelector<HTMLInputElement>("[data-search]")?.focus();
      if (meaning.kind === "go") {
        const place = PLACES.find(({ key }) => key === meaning.key);
        if (place) navigate(place.to);
      }
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, [enabled, navigate, onHelp]);
}

/** Whether a key goes into something: a field, or a dialog that is open. */
function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable || target.closest("input, textarea, select, [role=dialog]") !== null
  );
}
