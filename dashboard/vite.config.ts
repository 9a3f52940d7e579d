import { brotliCompressSync, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Beside each text asset the same, compressed: the server sends it as it lies. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        for (const [fileName, file] of Object.entries(bundle)) {
          if (!/\.(js|css|svg)$/.test(fileName)) continue;
          const source = Buffer.from(file.type === "chunk" ? file.code : file.source);
          if (source.length < 1024) continue;
          this.emitFile({
            type: "asset",
            fileName: `${fileName}.br`,
            source: brotliCompressSync(source),
          });
          this.emitFile({
            type: "asset",
            fileName: `${fileName}.gz`,
            source: gzipSync(source, { level: 9 }),
          });
        }
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  // The server replaces it in every page that it sends: `src/wicket/api/dashboard.py`.
  html: { cspNonce: "NONCE-OF-THIS-ANSWER" },
  build: {
    outDir: "../src/wicket/static",
    emptyOutDir: true,
    target: "es2023",
    // A data: address is no script of ours: everything is a file.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  // `npm run dev` beside `make dev`: the page from here, the API from there.
  server: { proxy: { "/api": "http://127.0.0.1:8420" } },
  test: { include: ["src/**/*.test.ts"] },
});
