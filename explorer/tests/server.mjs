// Serves dist/ and the example answers, and says over server-sent events what a test wants said.
import { createServer } from "node:http";
import { readFileSync, readdirSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain", ".json": "application/json", ".wasm": "application/wasm" };
// what the binary sends
const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const headers = { "content-security-policy": policy, "x-content-type-options": "nosniff" };

export async function serve(answers) {
  const dist = new Set(readdirSync(join(root, "dist")));
  const lines = new Set();
  const state = { answers, refuse: false, slow: 0, missing: null };
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url, "http://x");
    const send = (status, type, body) => response.writeHead(status, { ...headers, "content-type": type }).end(body);
    if (!pathname.startsWith("/api/v1")) {
      if (state.missing?.test(pathname)) return send(404, "text/plain", "no such file\n");
      const name = dist.has(pathname.slice(1)) ? pathname.slice(1) : "index.html";
      return send(200, types[extname(name)], readFileSync(join(root, "dist", name)));
    }
    if (state.refuse) return send(503, "application/json", JSON.stringify({ error: { message: "the index is not ready" } }));
    const path = pathname.slice("/api/v1".length);
    if (path === "/events") {
      response.writeHead(200, { ...headers, "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(`retry: 500\n\n`);
      lines.add(response);
      response.on("close", () => lines.delete(response));
      if (state.hello) for (const event of state.hello()) response.write(event);
      return;
    }
    const answer = state.answers(path, new URLSearchParams(search));
    const done = () => (answer === undefined ? send(404, "application/json", JSON.stringify({ error: { message: `there is nothing at ${path}` } })) : send(200, "application/json", JSON.stringify(answer)));
    state.slow ? setTimeout(done, state.slow) : done();
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    state,
    /** Sends an event to every page that listens. */
    say: (event, data) => lines.forEach((l) => l.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)),
    drop: () => lines.forEach((l) => l.destroy()),
    listening: () => lines.size,
    close: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}
