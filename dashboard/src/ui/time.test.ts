import { expect, test } from "vitest";
import { ago } from "./time";

const NOW = new Date("2026-11-24T12:00:00Z");

test.each([
  ["2026-11-24T11:59:40Z", "now"],
  ["2026-11-24T11:57:00Z", "3 min. ago"],
  ["2026-11-24T09:30:00Z", "2 hr. ago"],
  ["2026-11-23T11:00:00Z", "yesterday"],
  ["2026-11-26T12:00:00Z", "in 2 days"],
  ["2025-06-01T12:00:00Z", "last yr."],
])("%s is %s", (at, said) => {
  expect(ago(new Date(at), NOW)).toBe(said);
});
