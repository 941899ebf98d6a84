// Reads the files of the site: from elements of a single-file page, or from the folder that serves the page.

/** The page was opened from disk, and is not a single-file page. */
export class OpenedFromDisk extends Error {}

/** A file of the site is missing or damaged. */
export class FileError extends Error {
  constructor(
    readonly file: string,
    options?: ErrorOptions,
  ) {
    super(file, options);
  }
}

/** Returns the content of a file of the site, decompressed if it is stored as `name.gz`. */
export function readFile(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return use(name, async (content) => new Uint8Array(await new Response(content).arrayBuffer()));
}

/** Compiles a file of WebAssembly while it is still being downloaded and decompressed. */
export function compileFile(name: string): Promise<WebAssembly.Module> {
  const headers = { "content-type": "application/wasm" };
  return use(name, (content) => WebAssembly.compileStreaming(new Response(content, { headers })));
}

async function use<T>(name: string, read: (content: ReadableStream) => Promise<T>): Promise<T> {
  for (const stored of name.endsWith(".gz") ? [name] : [name, `${name}.gz`]) {
    try {
      const content = embedded(stored) ?? (await fetched(stored));
      if (content) return await read(await decompressed(content));
    } catch (error) {
      throw new FileError(name, { cause: error });
    }
  }
  throw location.protocol === "file:" ? new OpenedFromDisk(name) : new FileError(name);
}

/** The content of an element of a single-file page; null if there is none. */
function embedded(name: string): ReadableStream | null {
  const element = document.querySelector(`script[data-file="${CSS.escape(name)}"]`);
  return element && new Response(bytesOfBase64(element.textContent.trim())).body;
}

function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** The content of a file of the folder; null if it is missing, or if the page was opened from disk. */
async function fetched(name: string): Promise<ReadableStream | null> {
  if (location.protocol === "file:") return null;
  const response = await fetch(name);
  return response.ok ? response.body : null;
}

/** Decompresses gzip, which some servers have already done: only the content tells. */
async function decompressed(content: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<ReadableStream> {
  const [start, whole] = content.tee();
  const reader = start.getReader();
  const { value: first } = await reader.read();
  void reader.cancel();
  const isGzip = first?.[0] === 0x1f && first[1] === 0x8b;
  return isGzip ? whole.pipeThrough(new DecompressionStream("gzip")) : whole;
}
