import { expect, test } from "vitest";
import { nextSteps } from "./onboarding";

const KEY = { id: "1", suffix: "abcd", createdAt: "2026-11-24T00:00:00Z", lastUsedAt: null };

test("a new agent needs a service, a policy and a key, in this order", () => {
  expect(nextSteps({ services: [] }, 0, []).map((step) => step.kind)).toEqual([
    "service",
    "policy",
    "key",
  ]);
});

test("an agent that has them needs nothing", () => {
  expect(nextSteps({ services: ["git"] }, 1, [{ status: "approved", key: KEY }])).toEqual([]);
});

test("the key of somebody who waits for approval makes no call", () => {
  const waiting = [{ status: "pending", key: KEY } as const];
  expect(nextSteps({ services: ["git"] }, 1, waiting).map((step) => step.kind)).toEqual(["key"]);
});
