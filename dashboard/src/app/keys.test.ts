import { expect, test } from "vitest";
import { IDLE, type Keys, press } from "./keys";

const key = (name: string, ctrlKey = false) => ({
  key: name,
  ctrlKey,
  metaKey: false,
  altKey: false,
});
const after = (...names: string[]): Keys => names.map((name) => key(name)).reduce(press, IDLE);

test("g and a letter go somewhere", () => {
  expect(after("g").meaning).toBeNull();
  expect(after("g", "a").meaning).toEqual({ kind: "go", key: "a" });
});

test("a letter alone goes nowhere, and a place is gone to once", () => {
  expect(after("a").meaning).toBeNull();
  expect(after("g", "a", "a").meaning).toBeNull();
});

test("slash searches, a question mark helps", () => {
  expect(after("/").meaning).toEqual({ kind: "search" });
  expect(after("?").meaning).toEqual({ kind: "help" });
});

test("what is pressed with a modifier is the browser's", () => {
  expect(press(after("g"), key("a", true))).toEqual(IDLE);
});
