import { expect, test } from "vitest";
import { asked, DEFAULTS, isFiltered } from "./asked";

test("an address that says nothing asks for the newest first", () => {
  expect(asked(DEFAULTS)).toEqual({ limit: 50, offset: 0, sortBy: "createdAt", sortDir: "desc" });
  expect(isFiltered(DEFAULTS)).toBe(false);
});

test("what is understood is asked for", () => {
  const state = {
    ...DEFAULTS,
    search: " bot ",
    status: "disabled",
    role: "owner",
    tag: "ci",
    offset: "50",
  };
  expect(asked(state)).toMatchObject({
    search: "bot",
    status: "disabled",
    role: "owner",
    tag: "ci",
    offset: 50,
  });
  expect(isFiltered(state)).toBe(true);
});

test("what nobody understands is left out, not sent to be refused", () => {
  const state = {
    ...DEFAULTS,
    status: "asleep",
    role: "king",
    sortBy: "colour",
    sortDir: "up",
    offset: "-1",
  };
  expect(asked(state)).toEqual({ limit: 50, offset: 0, sortBy: "createdAt", sortDir: "desc" });
});
