// ONNX Runtime Web and the networks of this folder, on one thread.

import * as ort from '../runtime/ort.js';

ort.env.wasm.numThreads = 1; // more ask for headers that few servers send
ort.env.wasm.proxy = false;
ort.env.logLevel = 'error';

// The bytes of a file of the folder; `told` hears how many have come.
export async function bytes(url, told) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url.pathname} is missing (${answer.status})`);
  const parts = [];
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    told?.(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

// WebAssembly lies there packed; servers that unpack it themselves are right, too.
export async function useRuntime(data) {
  const packed = data[0] === 0x1f && data[1] === 0x8b;
  if (packed) {
    const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream('gzip'));
    data = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  ort.env.wasm.wasmBinary = data;
}

// A function of one array and its shape to outputs by name.
export async function network(model) {
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['wasm'], logSeverityLevel: 3,
  });
  const [input] = session.inputNames;
  const type = (data) => (data instanceof Uint8Array ? 'uint8' : 'float32');
  const run = async (data, shape) =>
    session.run({ [input]: new ort.Tensor(type(data), data, shape) });
  return { run, outputs: session.outputNames };
}

// The same, with the outputs in the order of the file.
export async function inOrder(model) {
  const { run, outputs } = await network(model);
  return async (data, shape) => {
    const found = await run(data, shape);
    return outputs.map((name) => found[name]);
  };
}
