// Files of people, as pictures.

const MOST = 100e6; // pixels

// A bitmap, upright, its colours as they are in the file. Raises an Error whose
// message says what to do.
export async function opened(file) {
  const name = file.name || 'This';
  if (!file.size) throw new Error(`${name} is empty: choose another picture.`);
  if (file.type.startsWith('video/')) {
    throw new Error(`${name} is a video, and this page looks at pictures: use the webcam, `
      + 'or emojax predict for files.');
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: 'from-image', premultiplyAlpha: 'none', colorSpaceConversion: 'none',
    });
  } catch {
    throw new Error(`${name} cannot be read as a picture: it is damaged, too large, or of a `
      + 'kind that this browser does not know. JPEG, PNG and WebP work everywhere; HEIC has '
      + 'to be converted.');
  }
  if (bitmap.width * bitmap.height > MOST) {
    const size = `${bitmap.width} x ${bitmap.height}`;
    bitmap.close();
    throw new Error(`${name} has ${size} pixels, more than ${MOST / 1e6} million: scale it `
      + 'down first.');
  }
  return bitmap;
}
