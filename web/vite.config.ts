import { defineConfig, type Plugin } from "vite";

/**
 * The page hands the WebAssembly code to onnxruntime itself. Its own way would be the address of the module, which a
 * classic script does not have, and which would make Vite pack the code into the script.
 */
const withoutModuleAddress: Plugin = {
  name: "without-module-address",
  enforce: "pre",
  transform(code, id) {
    return id.includes("onnxruntime-web") ? code.replaceAll("import.meta.url", '""') : null;
  },
};

export default defineConfig({
  plugins: [withoutModuleAddress],
  publicDir: "page",
  build: {
    outDir: "build",
    target: "es2022",
    modulePreload: false,
    reportCompressedSize: false,
    rolldownOptions: {
      input: "src/main.ts",
      output: { format: "iife", entryFileNames: "page.js" },
    },
  },
});
