// Files of the site are read from a server, which may send gzip as it is or decompressed.

import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { compileFile, FileError, OpenedFromDisk, readFile } from "../src/files";

const EMPTY_MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
let served: Record<string, Uint8Array<ArrayBuffer>>;

beforeEach(() => {
  served = {};
  vi.stubGlobal("document", { querySelector: () => null });
  vi.stubGlobal("CSS", { escape: (text: string) => text });
  vi.stubGlobal("location", { protocol: "http:" });
  vi.stubGlobal("fetch", async (name: string) =>
    served[name] ? new Response(served[name]) : new Response("missing", { status: 404 }),
  );
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const gzip = (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes));

test.each(["plain", "compressed", "compressed, sent decompressed"])("a file that is %s", async (kind) => {
  const content = new Uint8Array([1, 2, 3]);
  served = kind === "plain" ? { a: content } : { "a.gz": kind === "compressed" ? gzip(content) : content };
  expect(await readFile("a")).toEqual(content);
});

test("an empty file", async () => {
  served = { a: new Uint8Array() };
  expect(await readFile("a")).toEqual(new Uint8Array());
});

test("a file in an element of a single-file page", async () => {
  const element = { textContent: ` ${Buffer.from(gzip(new Uint8Array([7, 255]))).toString("base64")}\n` };
  vi.stubGlobal("document", { querySelector: (query: string) => (query.includes('"a.gz"') ? element : null) });
  expect(await readFile("a")).toEqual(new Uint8Array([7, 255]));
});

test("WebAssembly is compiled from gzip", async () => {
  served = { "a.wasm.gz": gzip(EMPTY_MODULE) };
  expect(await compileFile("a.wasm.gz")).toBeInstanceOf(WebAssembly.Module);
});

test("missing and damaged files are named", async () => {
  await expect(readFile("a")).rejects.toThrow(new FileError("a"));
  served = { "a.wasm.gz": new Uint8Array([1, 2, 3]), "b.gz": gzip(new Uint8Array(99)).slice(0, 15) };
  await expect(compileFile("a.wasm.gz")).rejects.toThrow(FileError);
  await expect(readFile("b")).rejects.toThrow(FileError);
  vi.stubGlobal("location", { protocol: "file:" });
  await expect(readFile("c")).rejects.toThrow(OpenedFromDisk);
});
