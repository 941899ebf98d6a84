// site.json is checked before anything is shown.

import { expect, test } from "vitest";
import { parseSite, SiteError } from "../src/site";

function site() {
  const layer = {
    name: "net.0",
    kind: "Conv2d",
    type: "conv",
    input: "prepared",
    output: "layers/0",
    input_shape: [1, 8, 8],
    shape: [2, 8, 8],
    weight: "net.0.weight",
    bias: null,
    parameters: 18,
    macs: 1152,
    size: "",
    facts: { kernel: [3, 3] },
  };
  const preprocess = {
    channels: 1,
    image_size: 8,
    resize: null,
    pad: 0,
    fit: "stretch",
    mean: [0],
    std: [1],
    views: 1,
  };
  const network = {
    name: "net",
    run: "net-1",
    file: "networks/0.onnx",
    classes: ["a", "b"],
    data_name: "data",
    test_accuracy: null,
    test_images: null,
    parameters: 18,
    macs: 1152,
    min_confidence: null,
    preprocess,
    handwriting: false,
    input: "prepared",
    input_shape: [1, 8, 8],
    probabilities: "probabilities",
    logits: "logits",
    layers: [layer],
    epochs: [],
  };
  return { version: 1, classicnets: "0.2.0", runtime: "runtime.wasm", examples: [], networks: [network] };
}

test("a whole site is read", () => {
  expect(parseSite(JSON.stringify(site())).networks[0]?.layers[0]?.type).toBe("conv");
});

test("an unknown type of layer is shown without its calculation", () => {
  const content = JSON.stringify(site()).replace('"type":"conv"', '"type":"attention"');
  expect(parseSite(content).networks[0]?.layers[0]?.type).toBe("other");
});

test.each([
  ['"version":1', '"version":2', "version"],
  ['"channels":1', '"channels":2', "networks[0].preprocess.channels"],
  ['"shape":[2,8,8]', '"shape":[2,"8",8]', "networks[0].layers[0].shape[1]"],
  ['"classes":["a","b"]', '"classes":"ab"', "networks[0].classes"],
  ['"fit":"stretch"', '"fit":"zoom"', "networks[0].preprocess.fit"],
  ['"epochs":[]', '"epochs":[{"epoch":"1"}]', "networks[0].epochs[0].epoch"],
])("the place of a wrong value is named: %s", (before, after, place) => {
  const content = JSON.stringify(site()).replace(before, after);
  expect(() => parseSite(content)).toThrow(new SiteError(place));
});

test("text that is not JSON, and a site without networks, are refused", () => {
  expect(() => parseSite("{")).toThrow(SiteError);
  expect(() => parseSite(JSON.stringify({ ...site(), networks: [] }))).toThrow(new SiteError("networks"));
});
