/** What single keys mean, as a function: which were pressed before, and what is pressed now. */

export type Meaning = { kind: "go"; key: string } | { kind: "search" } | { kind: "help" };

interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

export interface Keys {
  /** Whether `g` was the last key: the next one is a place. */
  going: boolean;
  meaning: Meaning | null;
}

export const IDLE: Keys = { going: false, meaning: null };

/** The state after a key, and what it asks for. Keys with a modifier are the browser's, or the palette's. */
export function press(before: Keys, pressed: Pressed): Keys {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey) return IDLE;
  if (before.going) return { going: false, meaning: { kind: "go", key: pressed.key } };
  switch (pressed.key) {
    case "g":
      return { going: true, meaning: null };
    case "/":
      return { going: false, meaning: { kind: "search" } };
    case "?":
      return { going: false, meaning: { kind: "help" } };
    default:
      return IDLE;
  }
}
