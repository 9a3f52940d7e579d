/** The rooms of the dashboard, and who may import whom: features never one another, `ui` and `domain` no data. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";

const SRC = new URL(".", import.meta.url).pathname;
const IMPORT = /(?:from|import)\s*\(?\s*"(@\/|\.{1,2}\/)([^"]*)"/g;

/** What a room may import besides itself. */
const MAY: Record<string, string[]> = {
  strings: [],
  api: [],
  domain: ["api", "strings"],
  ui: ["strings", "domain"],
  features: ["api", "domain", "strings", "ui"],
  app: ["api", "domain", "features", "strings", "ui"],
};

function roomOf(path: string): string {
  const [room = "", feature = ""] = path.split("/");
  return room === "features" ? `features/${feature}` : room;
}

function* crossings(): Generator<[file: string, from: string, to: string]> {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  for (const file of files.filter((name) => /\.tsx?$/.test(name) && name.includes("/"))) {
    for (const [, start = "", rest = ""] of readFileSync(join(SRC, file), "utf8").matchAll(
      IMPORT,
    )) {
      const target = start === "@/" ? rest : relative(SRC, join(SRC, file, "..", start + rest));
      if (roomOf(target) !== roomOf(file)) yield [file, roomOf(file), roomOf(target)];
    }
  }
}

test("imports go downwards, and no feature imports another", () => {
  const wrong = [...crossings()].filter(([, from, to]) => {
    const room = from.split("/")[0] ?? "";
    return (
      !(MAY[room] ?? []).includes(to.split("/")[0] ?? "") ||
      (room === "features" && to.startsWith("features/"))
    );
  });
  expect(wrong).toEqual([]);
});

test("no file of ours names another host", () => {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  const naming = files
    .filter(
      (name) => /\.(tsx?|css)$/.test(name) && !name.endsWith(".d.ts") && !name.endsWith(".test.ts"),
    )
    .filter((name) => /["'(]https?:\/\//.test(readFileSync(join(SRC, name), "utf8")));
  expect(naming).toEqual([]);
});
