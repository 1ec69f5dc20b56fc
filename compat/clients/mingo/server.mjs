// A client of the server: requests in RESP2, answers in the order of the requests.
import net from 'node:net';

/** An answer that is an error. */
export class Refused extends Error {}

export class Server {
  #socket;
  #waiting = [];
  #received = Buffer.alloc(0);

  static connect(host, port) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, host, () => resolve(new Server(socket)));
      socket.once('error', reject);
    });
  }

  constructor(socket) {
    this.#socket = socket.setNoDelay();
    socket.on('data', (data) => this.#receive(data));
    socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('the server closed the connection'));
    });
  }

  /** The answer to one command; errors are answers too, as `Refused`. */
  send(...words) {
    const parts = words.map((word) => Buffer.from(typeof word === 'string' ? word : JSON.stringify(word)));
    const frame = [Buffer.from(`*${parts.length}\r\n`)];
    for (const part of parts) frame.push(Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n'));
    this.#socket.write(Buffer.concat(frame));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close() {
    this.#socket.end();
  }

  #receive(data) {
    this.#received = Buffer.concat([this.#received, data]);
    let at = 0;
    for (;;) {
      const reply = this.#read(at);
      if (!reply) break;
      at = reply.end;
      this.#waiting.shift().resolve(reply.value);
    }
    this.#received = this.#received.subarray(at);
  }

  /** The reply that begins at a byte and where it ends, once all of it is there. */
  #read(at) {
    const line = this.#received.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const text = this.#received.toString('utf8', at + 1, line);
    const start = line + 2;
    switch (String.fromCharCode(this.#received[at])) {
      case '+':
        return { value: text, end: start };
      case '-':
        return { value: new Refused(text), end: start };
      case ':':
        return { value: Number(text), end: start };
      case '$': {
        const length = Number(text);
        if (length < 0) return { value: null, end: start };
        if (this.#received.length < start + length + 2) return undefined;
        return { value: this.#received.toString('utf8', start, start + length), end: start + length + 2 };
      }
      case '*': {
        const items = [];
        let end = start;
        for (let left = Number(text); left > 0; left--) {
          const item = this.#read(end);
          if (!item) return undefined;
          items.push(item.value);
          end = item.end;
        }
        return { value: items, end };
      }
      default:
        throw new Error(`no reply begins like this: ${text}`);
    }
  }
}
