// Which language the page is in.

import { beforeEach, expect, test, vi } from "vitest";

beforeEach(() => vi.resetModules());

async function languageOf(address: string, last: string | null, browser: string[]): Promise<string> {
  vi.stubGlobal("location", { search: address });
  vi.stubGlobal("localStorage", { getItem: () => last });
  vi.stubGlobal("navigator", { languages: browser });
  return (await import("../src/language")).words.code;
}

test.each([
  ["", null, ["fr", "zh-TW", "en"], "zh-CN"],
  ["", null, ["en-US", "zh"], "en"],
  ["", null, ["fr"], "en"],
  ["", "zh", ["en"], "zh-CN"],
  ["?lang=en", "zh", ["zh"], "en"],
  ["?lang=zh", "en", ["en"], "zh-CN"],
  ["?lang=ZH-Hans", null, ["en"], "zh-CN"],
  ["?lang=fr", null, ["zh"], "zh-CN"],
])("the address %j, then the last choice %j, then the browser's %j: %s", async (address, last, browser, code) => {
  expect(await languageOf(address, last, browser)).toBe(code);
});
