// A client on one of the TypeScript SDKs: it lists, makes the calls it is told to, and prints what it was told.
//
//     node typescript.mjs '{"sdk": "v1" or "v2", "mode": ..., "url": ..., "key": ..., "calls": [[tool, arguments]]}'

const told = JSON.parse(process.argv[2]);

const { Client, StreamableHTTPClientTransport } =
  told.sdk === "v1"
    ? {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
      }
    : await import("@modelcontextprotocol/client");

const client = new Client(
  { name: "interop", version: "1" },
  told.mode ? { versionNegotiation: { mode: told.mode } } : {},
);
const headers = { Authorization: `Bearer ${told.key}` };
await client.connect(new StreamableHTTPClientTransport(new URL(told.url), { requestInit: { headers } }));

const tools = (await client.listTools()).tools.map((tool) => tool.name);
const heard = [];
for (const [name, args] of told.calls) {
  try {
    const result = await client.callTool({ name, arguments: args });
    const text = result.content.map((part) => part.text ?? "").join("");
    heard.push({ text, isError: result.isError === true, data: result._meta?.["wicket/denial"] ?? null });
  } catch (error) {
    heard.push({ text: error.message, isError: true, data: error.data ?? null });
  }
}
await client.close();
console.log(JSON.stringify({ tools, heard }));
