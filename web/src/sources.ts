// Images from files, drag and drop, the clipboard and the camera.

import { byId } from "./dom";
import { words } from "./language";

const MAX_PIXELS = 64_000_000; // more would take over 250 MB

/** What gets an image; `isNext`: it follows the last one of a camera. */
type Use = (image: ImageBitmap, isNext?: boolean) => void;

/** Wires all sources: `use` gets each image, `report` a sentence about what went wrong. */
export function startSources(use: Use, report: (sentence: () => string) => void): void {
  const open = async (blob: Blob, label: string) => {
    try {
      const image = await createImageBitmap(blob); // turned as its EXIF data says
      if (image.width * image.height > MAX_PIXELS) report(() => words.imageTooLarge(label));
      else use(image);
    } catch {
      report(() => words.badImage(label));
    }
  };
  const chooser = byId<HTMLInputElement>("file");
  byId("upload").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    const [file] = chooser.files ?? [];
    if (file) void open(file, file.name);
    chooser.value = "";
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  for (const kind of ["dragleave", "drop"] as const) {
    document.addEventListener(kind, () => document.body.classList.remove("dropping"));
  }
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer?.files ?? [];
    if (file) void open(file, file.name);
    else report(() => words.noFileDropped);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((entry) => entry.type.startsWith("image/"));
    if (file) void open(file, words.pastedImage);
    else report(() => words.noImagePasted);
  });
  startWebcam(use, report);
}

/** The button shows the camera's image, classified as it moves; pressed again, it keeps the current one. */
function startWebcam(use: Use, report: (sentence: () => string) => void): void {
  const button = byId<HTMLButtonElement>("webcam");
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  let stream: MediaStream | null = null;
  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    button.textContent = words.webcam;
    button.dataset.text = "webcam";
  };
  const follow = async (isNext = false) => {
    if (!stream) return;
    const image = video.videoWidth > 0 ? await createImageBitmap(video) : null;
    if (!stream) return; // stopped meanwhile
    if (image) use(image, isNext);
    setTimeout(() => requestAnimationFrame(() => void follow(isNext || image !== null)), 60);
  };
  button.addEventListener("click", async () => {
    if (stream) {
      stop();
      return;
    }
    if (!navigator.mediaDevices) {
      report(() => (isSecureContext ? words.noWebcam : words.webcamInsecure));
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      await video.play();
      button.textContent = words.webcamStop;
      button.dataset.text = "webcamStop";
      void follow();
    } catch (error) {
      stop();
      const refused = error instanceof DOMException && error.name === "NotAllowedError";
      report(() => (refused ? words.webcamRefused : words.noWebcam));
    }
  });
  // drawing or choosing another image ends the camera
  for (const id of ["drawing", "undo", "clear", "upload", "examples"]) {
    byId(id).addEventListener("pointerdown", () => stream && stop());
  }
}
