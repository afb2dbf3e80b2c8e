// Asks pixels.js for pictures: cases.json -> one file of bytes for each.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, scripts] = process.argv.slice(2);
const pixels = await import(pathToFileURL(path.join(scripts, 'pixels.mjs')));
for (const one of JSON.parse(fs.readFileSync(path.join(folder, 'cases.json')))) {
  const data = new Uint8Array(fs.readFileSync(path.join(folder, one.file)));
  const picture = { width: one.width, height: one.height, data };
  const made = pixels[one.operation](picture, ...one.arguments);
  fs.writeFileSync(path.join(folder, `${one.file}.made`), made.data);
}
