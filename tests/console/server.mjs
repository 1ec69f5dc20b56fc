// Servers of the test: started on free ports in directories of their own, and asked over the console's own port.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PATIENCE_MS = 60_000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

export class Server {
  static async start(settings = {}) {
    const [port, http, home] = [await freePort(), await freePort(), mkdtempSync(join(tmpdir(), 'veddb-console-'))];
    const all = { port, 'http-port': http, 'http-console': 'yes', dir: join(home, 'data'), ...settings };
    const log = openSync(join(home, 'log'), 'w');
    const words = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const child = spawn(process.env.VEDDB_BIN ?? 'veddb', ['server', ...words], { stdio: ['ignore', log, log] });
    const server = Object.assign(new Server(), { port, http, home, child });
    const until = Date.now() + PATIENCE_MS;
    while (!(await fetch(`${server.origin}/readyz`).then((answer) => answer.ok, () => false))) {
      if (child.exitCode !== null || Date.now() > until) throw new Error(`the server did not start:\n${server.log}`);
      await sleep(50);
    }
    return server;
  }

  get origin() {
    return `http://127.0.0.1:${this.http}`;
  }

  get log() {
    return readFileSync(join(this.home, 'log'), 'utf8');
  }

  async stop() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    await Promise.race([ended, sleep(10_000).then(() => this.child.kill('SIGKILL'))]);
    const log = this.log;
    rmSync(this.home, { recursive: true, force: true });
    if (log.includes('panicked at')) throw new Error(`the server panicked:\n${log}`);
  }

  /** Logs in beside the browser; what runs commands then. */
  async session(user, password) {
    const headers = { 'content-type': 'application/json' };
    const post = (path, body) => fetch(`${this.origin}/console/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    const answer = await post('login', { user, password });
    if (!answer.ok) throw new Error(await answer.text());
    headers.cookie = answer.headers.get('set-cookie').split(';')[0];
    return async (...words) => {
      const { ok, error } = await (await post('run', words.map(String))).json();
      if (error !== undefined) throw new Error(`${error} (sent: ${words.join(' ').slice(0, 200)})`);
      return ok;
    };
  }
}
