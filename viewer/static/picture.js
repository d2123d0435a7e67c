// A message's image, {w, h, c, data}, on a canvas: one canvas pixel for each of the image's.

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** Pixels [h, w, c], c being 1 or 3, as an ImageData. */
export function imageData(pixels, w, h, c) {
  const image = new ImageData(w, h);
  for (let i = 0; i < w * h; i += 1) {
    for (let channel = 0; channel < 3; channel += 1) image.data[4 * i + channel] = pixels[c * i + (c === 3 ? channel : 0)];
    image.data[4 * i + 3] = 255;
  }
  return image;
}

/** Paint an image, or nothing for null; `side` is about how many CSS pixels its longer side takes. */
export function paint(canvas, image, side) {
  const { w, h, c } = image ?? { w: 1, h: 1, c: 1 };
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  canvas.classList.toggle("empty", image === null);
  const scale = fit(Math.max(w, h), side);
  canvas.style.width = `${w * scale}px`;
  canvas.style.height = `${h * scale}px`;
  const context = canvas.getContext("2d");
  if (image === null) context.clearRect(0, 0, w, h);
  else context.putImageData(imageData(bytesOf(image.data), w, h, c), 0, 0);
}

/** By a whole number where the image is small, so that its pixels are all of one size. */
function fit(pixels, side) {
  return pixels <= side ? Math.floor(side / pixels) : side / pixels;
}
