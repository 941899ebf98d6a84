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
  for (const stored of name.endsWith(".gz") ? [name] : [name, `${name}.gz`]) {
    try {
      const content = embedded(stored) ?? (await fetched(stored));
      if (content) return await decompressed(content);
    } catch (error) {
      throw new FileError(name, { cause: error });
    }
  }
  throw location.protocol === "file:" ? new OpenedFromDisk(name) : new FileError(name);
}

/** The content of an element of a single-file page; null if there is none. */
function embedded(name: string): Uint8Array<ArrayBuffer> | null {
  const element = document.querySelector(`script[data-file="${CSS.escape(name)}"]`);
  return element && Uint8Array.from(atob(element.textContent.trim()), (character) => character.charCodeAt(0));
}

/** The content of a file of the folder; null if it is missing, or if the page was opened from disk. */
async function fetched(name: string): Promise<Uint8Array<ArrayBuffer> | null> {
  if (location.protocol === "file:") return null;
  const response = await fetch(name);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}

/** Decompresses gzip, which some servers have already done: only the content tells. */
async function decompressed(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
