import { expect, test } from "vitest";
import type { SessionStatus } from "@/api/session";
import { nextStep, safeReturn, tokenIn } from "./steps";

const NOBODY: SessionStatus = { authenticated: false, signup: "invite" };
const SIGNED: SessionStatus = {
  authenticated: true,
  signup: "invite",
  mfa: { required: false, enrolled: false, passed: false },
};

test.each([
  ["nobody gives an address", NOBODY, null, "email"],
  ["a link is used before anything else", SIGNED, "abc", "link"],
  ["who owes nothing is in", SIGNED, null, "done"],
  [
    "a second factor is shown",
    { ...SIGNED, mfa: { required: true, enrolled: true, passed: false } },
    null,
    "factor",
  ],
  [
    "one that is asked for is set up",
    { ...SIGNED, mfa: { required: true, enrolled: false, passed: false } },
    null,
    "enrol",
  ],
  [
    "one that was shown is enough",
    { ...SIGNED, mfa: { required: true, enrolled: true, passed: true } },
    null,
    "done",
  ],
] as const)("%s", (_, status, token, step) => {
  expect(nextStep(status, token)).toBe(step);
});

test.each([
  ["/agents/1/settings?x=1", "/agents/1/settings?x=1"],
  [null, "/"],
  ["https://elsewhere.example/", "/"],
  ["//elsewhere.example/", "/"],
  ["/\\elsewhere.example/", "/"],
  ["/sign-in?to=/agents", "/"],
  ["javascript:alert(1)", "/"],
])("after signing in, %s leads to %s", (to, address) => {
  expect(safeReturn(to)).toBe(address);
});

test("the token of a link stands behind the number sign", () => {
  expect(tokenIn("#token=abc-123")).toBe("abc-123");
  expect(tokenIn("")).toBeNull();
});
