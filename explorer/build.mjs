// Builds dist/: the same input gives the same bytes, so that what is committed can be compared with a rebuild.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = resolve(here, process.argv[2] ?? "dist");
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

const common = {
  absWorkingDir: here,
  outdir: dist,
  entryNames: "[name]-[hash]",
  bundle: true,
  format: "esm",
  target: ["es2022"],
  minify: true,
  legalComments: "none",
  charset: "utf8",
  metafile: true,
  logLevel: "warning",
};
const entry = ({ metafile }, point) => {
  const found = Object.entries(metafile.outputs).find(([, o]) => o.entryPoint === point);
  if (!found) throw new Error(`no output for ${point}`);
  return { js: relative(dist, resolve(here, found[0])), css: found[1].cssBundle && relative(dist, resolve(here, found[1].cssBundle)) };
};

// first, so that the page knows the worker's name
const worker = entry(
  await build({ ...common, entryPoints: { "verifier-worker": "src/verifier-worker.ts" }, loader: { ".wasm": "file" }, assetNames: "[name]-[hash]", publicPath: "/" }),
  "src/verifier-worker.ts",
);
const result = await build({
  ...common,
  entryPoints: { main: "src/main.tsx", theme: "src/theme-boot.ts" },
  chunkNames: "[name]-[hash]",
  splitting: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { VERIFIER_WORKER: JSON.stringify(`/${worker.js}`) },
});
const main = entry(result, "src/main.tsx");
const theme = entry(result, "src/theme-boot.ts");

const icon = readFileSync(resolve(here, "src/icon.svg"));
const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
writeFileSync(resolve(dist, iconName), icon);

// `theme` is no module: it runs before the first paint, so that a dark page never flashes white.
writeFileSync(
  resolve(dist, "index.html"),
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Gavel</title>
<link rel="icon" href="/${iconName}" type="image/svg+xml">
<link rel="stylesheet" href="/${main.css}">
<script src="/${theme.js}"></script>
<script type="module" src="/${main.js}"></script>
</head>
<body>
<div id="app"></div>
<noscript>This page draws what the network's interface under /api/v1 says, and needs JavaScript to do so.</noscript>
</body>
</html>
`,
);

const notice = ["preact", "uplot"].map((name) => {
  const { version } = JSON.parse(readFileSync(resolve(here, "node_modules", name, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(resolve(here, "node_modules", name, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(resolve(dist, "LICENSES.txt"), `This page contains:\n\n${notice.join("\n\n")}`);
