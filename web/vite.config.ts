import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds the API: the mock server, or a running Millstream. */
const api = process.env.MILLSTREAM_HTTP ?? "http://127.0.0.1:8090";

/** Files that are smaller are not worth a second one. */
const GZIP_BYTES_MIN = 1_024;

/**
 * Each asset once more as `.gz`, for the server to send as it is. Not Brotli:
 * browsers take it over TLS only, and the console is mostly plain HTTP.
 */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        for (const file of Object.values(bundle)) {
          const content = file.type === "chunk" ? file.code : file.source;
          if (!/\.(?:js|css|svg)$/.test(file.fileName) || Buffer.byteLength(content) < GZIP_BYTES_MIN) continue;
          this.emitFile({ type: "asset", fileName: `${file.fileName}.gz`, source: gzipSync(content, { level: 9 }) });
        }
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), precompress()],
  build: {
    target: "es2022",
    chunkSizeWarningLimit: 900,
    // Data URLs would need `data:` in the Content-Security-Policy.
    assetsInlineLimit: 0,
    // The preload helper is not needed: every browser that runs ES2022 has it.
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      "/api": { target: api, ws: true },
    },
  },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
