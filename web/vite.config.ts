import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds the API: the mock server, or a running Millstream. */
const api = process.env.MILLSTREAM_HTTP ?? "http://127.0.0.1:8090";

export default defineConfig({
  plugins: [react()],
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
