// Puts the built page into the Python package: src/classicnets/export/page/, with a manifest of hashes.

import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const page = join(web, "..", "src", "classicnets", "export", "page");
const runtime = join(web, "node_modules", "onnxruntime-web");
// what the build depends on; tests/web/test_built_page.py computes the same hash
const SOURCES = [
  "package-lock.json",
  "package.json",
  "page",
  "scripts",
  "src",
  "styles",
  "tsconfig.json",
  "vite.config.ts",
];
const STYLES = ["base", "stage", "layers", "calculation", "narrow"]; // later rules change earlier ones

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function filesOf(name) {
  if (name.includes(".")) return [name];
  return readdirSync(join(web, name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(web.length + 1)
        .replaceAll("\\", "/"),
    );
}

const lines = SOURCES.flatMap(filesOf)
  .sort()
  .map((name) => `${name} ${sha256(readFileSync(join(web, name)))}\n`);

// gzip may give other bytes on another processor, so that a file with the same content stays as it is
function compressed(content, path) {
  if (existsSync(path) && gunzipSync(readFileSync(path)).equals(content)) return readFileSync(path);
  const bytes = gzipSync(content, { level: 9 });
  bytes.fill(0, 4, 8); // no time of the build
  bytes[9] = 255; // and no system
  return bytes;
}

const wasm = readFileSync(join(runtime, "dist", "ort-wasm-simd-threaded.wasm"));
const wasmFile = compressed(wasm, join(page, "runtime.wasm.gz"));
rmSync(page, { recursive: true, force: true });
mkdirSync(page, { recursive: true });
for (const name of ["index.html", "page.js"]) copyFileSync(join(web, "build", name), join(page, name));
const styles = STYLES.map((name) => readFileSync(join(web, "styles", `${name}.css`), "utf8"));
writeFileSync(join(page, "page.css"), styles.join("\n"));
writeFileSync(join(page, "runtime.wasm.gz"), wasmFile);
copyFileSync(join(web, "scripts", "LICENSE-onnxruntime.txt"), join(page, "LICENSE-onnxruntime.txt"));
const files = readdirSync(page).sort();
const manifest = {
  onnxruntime_web: JSON.parse(readFileSync(join(runtime, "package.json"), "utf8")).version,
  sources: sha256(lines.join("")),
  files: Object.fromEntries(files.map((name) => [name, sha256(readFileSync(join(page, name)))])),
};
writeFileSync(join(page, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
