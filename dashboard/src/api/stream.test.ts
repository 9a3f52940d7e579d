import { expect, test } from "vitest";
import { parseEvents } from "./stream";

test("what is complete is told, and the rest is kept for later", () => {
  const [events, rest] = parseEvents('id: 7\nevent: entry\ndata: {"a":1}\n\nid: 8\nevent: en');
  expect(events).toEqual([{ id: "7", event: "entry", data: '{"a":1}' }]);
  expect(rest).toBe("id: 8\nevent: en");
});

test("a comment is an event without data, and a position comes without data too", () => {
  const [events] = parseEvents(": keep-alive\n\nid: 9\n\n");
  expect(events.map(({ id, data }) => [id, data])).toEqual([
    [null, ""],
    ["9", ""],
  ]);
});

test("lines of data are joined, whatever ends them", () => {
  const [events, rest] = parseEvents("data: one\r\ndata: two\r\n\r\n");
  expect(events).toEqual([{ id: null, event: "message", data: "one\ntwo" }]);
  expect(rest).toBe("");
});
