// What the page asks of the server: commands, one after the other, over the session that the cookie names.
//
// The cookie is out of reach of scripts. Whoever calls gets the reply, or an error of one of two kinds: `Refused` is what the server
// answered, `Unreachable` that there was no answer. That the session is over is told to `onLogout`, once.

/** The server's own error: a command that failed or is not allowed. */
export class Refused extends Error {}
/** No answer that could be read. */
export class Unreachable extends Error {}
/** There is no session any more. */
export class LoggedOut extends Error {}

let ended = () => {};
let reached = () => {};

/** Says what happens when the session is over. */
export function onLogout(callback) {
  ended = callback;
}

/** Says what happens when there is no answer, and when there is one again: `callback(answers)`. */
export function onReach(callback) {
  reached = callback;
}

async function post(path, what) {
  let answer;
  try {
    answer = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(what),
      credentials: 'same-origin',
    });
  } catch {
    reached(false);
    throw new Unreachable('The server does not answer.');
  }
  reached(true);
  const body = await answer.json().catch(() => ({ error: `the server answered with status ${answer.status}` }));
  return { status: answer.status, body };
}

/** Who the session's user is: `{user, client, version}`, with a `user` of null where there is no session. */
export async function whoami() {
  const answer = await fetch('session', { credentials: 'same-origin' }).catch(() => null);
  if (!answer?.ok) throw new Unreachable('The server does not answer.');
  return answer.json();
}

/** Logs in; who that is then. */
export async function login(user, password) {
  const { status, body } = await post('login', { user, password });
  if (status !== 200) throw new Refused(body.error);
  return body;
}

/** Ends the session, whatever is being waited for. */
export async function logout() {
  const { status, body } = await post('logout', {});
  if (status !== 200) throw new Refused(body.error);
}

// One at a time: the server lets few wait, and answers keep the order of what was asked.
let turn = Promise.resolve();

function inTurn(work) {
  const done = turn.then(work);
  turn = done.catch(() => {});
  return done;
}

async function ask(what) {
  const { status, body } = await post('run', what);
  if (status === 401) {
    ended();
    throw new LoggedOut('The session is over.');
  }
  if (body.error !== undefined) throw new Refused(body.error);
  return body.ok;
}

/** Runs a command; words are texts, or `{base64}` of bytes that are none. */
export const run = (...words) => inTurn(() => ask(words.map(word)));

/** The same in a database. */
export const runIn = (db, ...words) => inTurn(() => ask({ db, command: words.map(word) }));

const word = (one) => (typeof one === 'object' ? one : String(one));

/** Does something now and then again, while the page is in sight and `signal` is not raised; also where the server did not answer once. */
export async function repeat(milliseconds, signal, work) {
  while (!signal.aborted) {
    if (document.visibilityState === 'visible') {
      try {
        await work();
      } catch (error) {
        if (error instanceof LoggedOut || signal.aborted) return;
        if (!(error instanceof Unreachable)) throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}
