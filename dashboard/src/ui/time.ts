const STEPS: [unit: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

/** "3 min. ago", "in 2 days"; below a minute "now". */
export function ago(at: Date, now: Date): string {
  const seconds = (at.getTime() - now.getTime()) / 1000;
  const [unit, size] = STEPS.find(([, least]) => Math.abs(seconds) >= least) ?? [
    "second",
    Infinity,
  ];
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}

/** The instant in full: the reader's own time, and UTC. */
export function instant(at: Date): string {
  const local = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return `${local} (${at
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, " UTC")})`;
}
