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
export async function readFile(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const embedded = embeddedText(name) ?? embeddedText(`${name}.gz`);
  try {
    if (embedded !== null) return await decompressed(fromBase64(embedded));
    if (location.protocol === "file:") throw new OpenedFromDisk(name);
    const response = await fetch(name);
    if (response.ok) return await decompressed(new Uint8Array(await response.arrayBuffer()));
  } catch (error) {
    if (error instanceof OpenedFromDisk) throw error;
    throw new FileError(name, { cause: error });
  }
  if (!name.endsWith(".gz")) return await readFile(`${name}.gz`);
  throw new FileError(name);
}

function embeddedText(name: string): string | null {
  return document.querySelector(`script[data-file="${CSS.escape(name)}"]`)?.textContent ?? null;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
}

/** Decompresses gzip, which some servers have already done: only the content tells. */
async function decompressed(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
