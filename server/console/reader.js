// An answer that is read page by page, by a cursor of the server.
//
// A cursor that is open holds back storage and the end of a rotation, so it is closed as soon as nobody looks at its page any more.

import { runIn } from './server.js';

export class Reader {
  #cursor = '0';

  /** Reads of a database until `signal` is raised. */
  constructor(db, signal) {
    Object.assign(this, { db, signal });
    signal.addEventListener('abort', () => this.close());
  }

  /** The first documents of a query. */
  open = async (size, ...words) => {
    this.close();
    return this.#take(await runIn(this.db, ...words, 'CURSOR', size));
  };

  /** The next ones. */
  next = async (size) => this.#take(await runIn(this.db, 'DOC.CURSOR', 'READ', this.#cursor, 'COUNT', size));

  /** Whether there are more. */
  get hasMore() {
    return this.#cursor !== '0';
  }

  close() {
    // Where it is closed already, or may not be, there is nobody to tell.
    if (this.hasMore) runIn(this.db, 'DOC.CURSOR', 'DEL', this.#cursor).catch(() => {});
    this.#cursor = '0';
  }

  #take([cursor, documents]) {
    this.#cursor = String(cursor);
    if (this.signal.aborted) this.close();
    return documents;
  }
}
