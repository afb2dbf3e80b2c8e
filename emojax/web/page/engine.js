// The worker, as functions that return promises.

// A worker of a blob keeps to the policy of the page; one of a file would have its own.
const SCRIPT = `import ${JSON.stringify(new URL('worker.js', import.meta.url).href)};`;

export class Engine {
  #worker;
  #waiting = new Map();
  #number = 0;

  constructor(loaded) {
    const url = URL.createObjectURL(new Blob([SCRIPT], { type: 'text/javascript' }));
    this.#worker = new Worker(url, { type: 'module' });
    this.#worker.onmessage = ({ data }) => {
      if (data.loaded) loaded(data.loaded);
      else this.#settle(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const error = event.message || 'a part of this page could not be loaded';
      for (const id of [...this.#waiting.keys()]) this.#settle({ id, error });
    };
  }

  // `about` again, when everything that it names is loaded.
  open(about) {
    return this.#ask({ kind: 'open', about }).then(({ result }) => result);
  }

  // {result: answers, bitmap}; the bitmap is not the page's meanwhile.
  look(bitmap, live) {
    return this.#ask({ kind: 'look', bitmap, live }, [bitmap]);
  }

  #ask(message, transfer = []) {
    const id = ++this.#number;
    this.#worker.postMessage({ id, ...message }, transfer);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #settle({ id, error, ...reply }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) resolve(reply);
    else reject(new Error(error));
  }
}
