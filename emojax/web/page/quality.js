// How well a face can be seen (emojax/faces/quality.py).

const GREY = [0.299, 0.587, 0.114]; // ITU-R BT.601

// Variance of the Laplacian over the variance of the crop; 0 where it is flat.
export function sharpness({ width, height, data }) {
  const grey = new Float64Array(width * height);
  for (let i = 0; i < grey.length; i++) {
    for (let c = 0; c < 3; c++) grey[i] += GREY[c] * data[3 * i + c];
  }
  const fine = [];
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const i = y * width + x;
      fine.push(
        grey[i - width] + grey[i + width] + grey[i - 1] + grey[i + 1] - 4 * grey[i],
      );
    }
  }
  const contrast = variance(grey);
  return contrast > 1 / 12 ? variance(fine) / contrast : 0;
}

function variance(numbers) {
  let sum = 0, square = 0;
  for (const number of numbers) sum += number;
  const mean = sum / numbers.length;
  for (const number of numbers) square += (number - mean) ** 2;
  return square / numbers.length;
}

// About the sine of the head's turn to a side.
export function profile(points) {
  const [left, right, nose] = points;
  const across = [0, 1].map((k) => (right[k] - left[k]) / 2);
  const away = [0, 1].map((k) => nose[k] - (left[k] + right[k]) / 2);
  const half = Math.hypot(...across);
  if (half === 0) return 1;
  const along = Math.abs(away[0] * across[0] + away[1] * across[1]) / half;
  return along / Math.hypot(half, along);
}

export function size([, , width, height]) {
  return Math.sqrt(Math.max(width, 0) * Math.max(height, 0));
}
