// A network that onnxruntime-web runs: layer outputs and weights by name.

import * as ort from "onnxruntime-web/wasm";

/** Hands the compiled WebAssembly code to onnxruntime, which then loads and compiles nothing itself. */
export function prepareRuntime(module: WebAssembly.Module): void {
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  // onnxruntime takes only bytes, and would compile them: its one call gets the compiled module instead
  ort.env.wasm.wasmBinary = new Uint8Array();
  const { instantiate } = WebAssembly;
  const instantiateModule = async (_: BufferSource, imports?: WebAssembly.Imports) => {
    WebAssembly.instantiate = instantiate;
    return { module, instance: await instantiate(module, imports) };
  };
  WebAssembly.instantiate = instantiateModule as typeof instantiate;
}

/** Values by name of the ONNX output; the batch axis, or that of the views, comes first. */
export type Outputs = Record<string, Float32Array>;

export class Network {
  private last: Promise<unknown> = Promise.resolve();
  private readonly weights = new Map<string, Promise<Float32Array>>();

  private constructor(private readonly session: ort.InferenceSession) {}

  static async open(file: Uint8Array, isInt8: boolean): Promise<Network> {
    // where every layer is an output, nothing can be fused, and looking for it takes a third of the start; int8 files
    // need it, because their convolutions get their integers by fusion
    const graphOptimizationLevel = isInt8 ? "all" : "disabled";
    return new Network(
      await ort.InferenceSession.create(file, { executionProviders: ["wasm"], graphOptimizationLevel }),
    );
  }

  /** Runs the network on an image, uint8 [side, side, 3], and returns the outputs of these names. */
  async run(pixels: Uint8Array, names: Iterable<string>): Promise<Outputs> {
    const side = Math.sqrt(pixels.length / 3);
    const known = [...new Set(names)].filter((name) => this.session.outputNames.includes(name));
    const feeds = { pixels: new ort.Tensor("uint8", pixels, [1, side, side, 3]) };
    // a session runs one image at a time
    const run = this.last.then(() => this.session.run(feeds, known));
    this.last = run.catch(() => undefined);
    const tensors = Object.entries(await run);
    return Object.fromEntries(tensors.map(([name, tensor]) => [name, floats(tensor)]));
  }

  /** Returns the values of a weight, which is an output that depends on no image. */
  weight(name: string): Promise<Float32Array> {
    let weight = this.weights.get(name);
    if (!weight) {
      weight = this.run(new Uint8Array(3), [name]).then((outputs) => outputs[name] ?? new Float32Array());
      this.weights.set(name, weight);
    }
    return weight;
  }

  /** Frees the memory after the runs in progress. */
  async release(): Promise<void> {
    await this.last;
    await this.session.release();
  }
}

function floats(tensor: ort.Tensor): Float32Array {
  const { data } = tensor;
  return data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number);
}
