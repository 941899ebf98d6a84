// The English texts of the page. `Words` is what every other language must have.

const plural = (n: number, one: string, many: string) => (n === 1 ? `1 ${one}` : `${n.toLocaleString("en")} ${many}`);

export const en = {
  code: "en",
  skip: "Skip to the network",
  otherLanguage: "中文",
  light: "Light",
  dark: "Dark",

  // between parts of a text
  colon: ": ",
  comma: ", ",
  fullStop: ". ",
  gap: " ",
  inParentheses: (text: string) => ` (${text})`,

  // facts of a network
  trainedOn: (data: string) => `Trained on ${data}`,
  testAccuracy: (accuracy: string, chance: string, images: string) =>
    `${accuracy} correct on ${images} test images (chance: ${chance})`,
  parameters: (n: number) => plural(n, "parameter", "parameters"),
  macs: (n: number) => plural(n, "multiplication", "multiplications"),
  ofFinalWeights: (sentence: string) => `final weights: ${sentence}`,
  int8: "weights stored as 8-bit integers",
  license: (name: string) => `License: ${name}`,

  // input
  input: "Your image",
  drawHere:
    "Drawing area. Draw with a mouse, finger or pen. With the keyboard: arrow keys move, Space puts the pen down or lifts it.",
  drawOnImage: "You can draw on this image.",
  cutOff: (share: string, network: string) =>
    `${network ? `For ${network}, everything` : "Everything"} outside the dashed frame (${share}) is cut off.`,
  undo: "Undo",
  clear: "Clear",
  upload: "Open…",
  webcam: "Camera",
  webcamStop: "Keep this frame",
  centered: "Center as in MNIST",
  centeredHelp:
    "Scales the character of a drawing or photo to a box of 20 × 20 and moves its center of mass to the middle, as the training images were made. Test images stay as they are.",
  invert: "Dark paper",
  invertImage: "Invert",
  lightOnDark: "The training images are light on dark.",
  penColor: "Pen color",
  examples: "Test images",
  example: (label: string) => `Example: ${label}`,
  marksRemoved: "The marks ✓ and ✗ were removed, because the weights have changed. Choose an image to try it again.",
  examplesHelp:
    "The network has not been trained on these. Below each is its true class. You can also drop or paste an image. It stays on this device.",

  // answer
  sees: "What the network sees",
  seesHelp: (shape: string) => `The image after resizing and normalization: ${shape} numbers`,
  answer: "Answer",
  unknown: "unknown",
  unknownBecause: (limit: string) => `The highest probability is below ${limit}, so the answer is “unknown”.`,
  unsure: "unsure",
  unsureBecause: (best: string, second: string, points: number) =>
    `Unsure: “${best}” and “${second}” are less than ${points} percentage points apart.`,
  grades: {
    right: (truth: string) => `right: it is “${truth}”`,
    wrong: (truth: string) => `wrong: it is “${truth}”`,
    unknown: (truth: string) => `no answer: it is “${truth}”`,
  },
  gradeNames: { right: "answered right", wrong: "answered wrong", unknown: "not answered" },
  showSoftmax: "Show the calculation",
  moreClasses: (n: number) => `and ${plural(n, "other class", "other classes")}`,
  announcement: (label: string, probability: string) => `${label}, probability ${probability}`,
  waiting: "Draw something, or choose an image.",

  // network
  network: "The network, layer by layer",
  networkHelp:
    "Point at a value to see where it comes from. Click a map to enlarge it in the calculation, and choose a value there.",
  networkHelpTouch: "Tap a layer to see its values. Tap a value to see its calculation.",
  tryTitle: "What to try",
  tryText:
    "Draw over a test image until the answer changes, and see which layers change with it. Choose a value in a map, and follow it from layer to layer with ‹ and › up to the answer. Choose a test image that the network gets wrong, and compare the logits of its answer and of the true class.",
  keyboardHelp:
    "On the keyboard, arrow keys move over values, Page Up and Page Down over channels, Shift + ← and Shift + → over layers.",
  dashedLines: "A dashed line comes from the layer before: the page does not know which layers are read.",
  layersOfView: (views: number) => `The layers show view 1 of ${views}; the answer is the mean over all views.`,
  filters: (layer: string) => `Filters of ${layer}`,
  filtersHelp: "Learned weights",
  legend: (low: string, high: string) => `Color scale from ${low} to ${high}`,
  mapsLabel: (layer: string, kind: string, shape: string) =>
    `${layer}, ${kind}: ${shape} values. Arrow keys move over values, Page Up and Page Down over channels.`,
  overview: "Layers",
  showValues: (layer: string) => `Values of ${layer}`,
  moreExamples: "More images",
  fewerExamples: "Fewer images",
  inputLayer: "input",
  answerLayer: "answer",
  inputKind: "Normalized image",
  types: {
    conv: "Convolution",
    max_pool: "Max pooling",
    average_pool: "Average pooling",
    dense: "Dense",
    activation: "Activation",
    lrn: "Response norm.",
    batch_norm: "Batch norm.",
    flatten: "Flatten",
    dropout: "Dropout (off)",
    softmax: "Softmax",
    other: "Layer",
  },
  functions: {
    relu: "ReLU",
    relu6: "ReLU6",
    tanh: "tanh",
    sigmoid: "sigmoid",
    leaky_relu: "leaky ReLU",
    elu: "ELU",
    silu: "SiLU",
    gelu: "GELU",
    gelu_tanh: "GELU (tanh)",
    scaled_tanh: "scaled tanh",
  } as Record<string, string>,
  epoch: (n: number) => `Epoch ${n}`,
  finalWeights: "final weights",
  finalAccuracy: (accuracy: string) => `test accuracy ${accuracy}`,
  epochSlider: "Training epoch",
  epochAccuracy: (accuracy: string) => `validation accuracy ${accuracy}`,
  epochLoss: (loss: string) => `training loss ${loss}`,

  // calculation
  calculation: "Calculation",
  nothingSelected: "Point at a value of a layer to see its calculation.",
  place: (channel: number, row: number, column: number) => `channel ${channel}, row ${row}, column ${column}`,
  unit: (index: number) => `unit ${index}`,
  kept: "Kept",
  follow: "Follow the pointer",
  collapse: "Hide",
  expand: "Show",
  receptiveField: "Seen in the input",
  receptiveFieldHelp: (rows: string, columns: string) => `rows ${rows}, columns ${columns}`,
  window: (channel: number) => `Window, input channel ${channel}`,
  kernel: (channel: number) => `Kernel, input channel ${channel}`,
  inputWindow: "Window",
  enlargedMap: (channel: number) => `Channel ${channel}, enlarged`,
  enlargedUnits: (n: number) => `All ${n.toLocaleString("en")} units, enlarged`,
  enlargedKeys:
    "Arrow keys choose a value, Page Up and Page Down a channel, Shift with the left or right arrow a layer.",
  sweep: "Move over all values",
  sweepStop: "Stop",
  sweepStep: "Next value",
  chooseHere: "choose a value here",
  previousLayer: "Previous layer (Shift + ←)",
  nextLayerButton: "Next layer (Shift + →)",
  padding: "Hatched cells are padding.",
  channelSums: "Sum for each input channel",
  products: (n: number) => `All ${plural(n, "product", "products")}`,
  largestTerms: (shown: number, all: number) => `The ${shown} largest of ${all.toLocaleString("en")} products`,
  bias: "bias",
  weight: "weight",
  mean: "mean",
  variance: "variance",
  rest: "rest",
  max: "max",
  nextLayer: (name: string) => `Then ${name}:`,
  nextAnswer: "Then softmax, the answer:",
  channelLabel: (channel: number) => `ch. ${channel}`,
  convSentence: (hasBias: boolean) =>
    `Multiply each number in the window by the weight at its place in the kernel, and add everything up${hasBias ? ", then the bias" : "; this layer has no bias"}.`,
  maxSentence: "The largest number in the window.",
  averageSentence: "The sum of the numbers in the window, divided by their count.",
  denseSentence: (hasBias: boolean) =>
    `Multiply every input by its weight, and add everything up${hasBias ? ", then the bias" : "; this layer has no bias"}.`,
  activationSentence: (name: string) => `The function ${name}, applied to each value by itself.`,
  lrnSentence: (n: number) =>
    `Each value is divided by a power of the sum of squares over ${n} neighboring channels at the same place.`,
  batchNormSentence:
    "The value is shifted and scaled with the mean and variance from training, then with a learned weight and bias.",
  flattenSentence: "The same value, now in one long list.",
  dropoutSentence: "In use, dropout changes nothing: the same value.",
  softmaxSentence: "Exponentials, divided by their sum, so that all add up to 1.",
  temperatureSentence: (temperature: string, isOfMean: boolean) =>
    `${isOfMean ? "The mean is raised to 1 / temperature, and made to add up to 1 again" : "First, the logits are divided by the temperature"}. The temperature of this run, ${temperature}, was fitted so that its probabilities agree with its accuracy.`,
  meanSentence: (views: number) =>
    `The network looks at ${views} views of the image (shifted or mirrored). The answer is the mean of their softmax; the layers show view 1.`,
  logarithmSentence: "The network ends with the logarithms of probabilities, whose exponentials add up to 1 already.",
  softmaxTwice:
    "The network itself ends with a softmax. Its outputs are probabilities already, and softmax is applied to them once more, as “classicnets predict” does; this makes them more equal.",
  temperature: "temperature",
  logit: "logit",
  sum: "sum",
  probability: "probability",
  allShares: "All classes",
  largestShares: (shown: number, all: number) => `The ${shown} most probable of ${all} classes`,
  view: (n: number) => `view ${n}`,
  viewOf: (n: number, views: number) => `View ${n} of ${views}`,
  emptyPad: "The pad is empty. The network computes on the empty image all the same.",
  viewsOf: (label: string) => `“${label}” in each view`,
  unknownSentence: "The page shows the values and counts of this layer, but not its calculation.",
  from: (place: string) => `from ${place}`,
  sizeOf: "Output size",
  lastWindow: " (the last window would start in the padding)", // as site.json has it
  int8Value: (value: string) => `This file computes with 8-bit integers and gets ${value} instead.`,

  // what went wrong
  dismiss: "Close this message",
  loading: "Loading the network…",
  openedFromDisk:
    "This page needs its other files, which browsers do not read from disk. Run “python -m http.server” in this folder and open http://127.0.0.1:8000/, or export with --single-file, which gives one file that opens from disk.",
  missingFile: (file: string) => `${file} is missing or damaged. Export the site again, and copy all of its files.`,
  damagedSite: (place: string) =>
    `site.json does not fit this page (at ${place}). Export the site again with one version of classicnets.`,
  noWebAssembly:
    "This browser lacks WebAssembly or decompression, which the network needs. Use a current version of Firefox, Chrome, Edge or Safari, and allow WebAssembly in its settings. You can look at the network's layers, but it gives no answers.",
  noCanvas:
    "This browser has no canvas, which this page draws on. Use a current version of Firefox, Chrome, Edge or Safari.",
  badNetwork: (file: string) =>
    `The network in ${file} could not be loaded. It may be damaged, or too large for this device's memory. Export the site again, or close other pages.`,
  badImage: (file: string) => `${file} is not an image that this browser can read. Use a PNG, JPEG or WebP file.`,
  noImagePasted: "The clipboard has no image. Copy an image first, then paste.",
  noFileDropped: "What you dropped is not a file. Save the image first, then open or drop the file.",
  pastedImage: "The pasted data",
  imageTooLarge: (file: string) =>
    `${file} is too large for this browser. Make it smaller, for example 4,000 pixels wide.`,
  noWebcam: "There is no camera that this page can use. Connect one, or open an image instead.",
  webcamRefused: "The camera is not allowed for this page. Allow it in the address bar, or open an image instead.",
  webcamInsecure:
    "Browsers allow the camera only on https:// and on this computer (http://127.0.0.1). Open an image instead.",
  runFailed: "The network could not process this image. Reload the page and try again.",
  madeWith: (version: string) =>
    `Made with classicnets ${version}. Everything runs in this browser; no image leaves this device.`,
};

export type Words = typeof en;
