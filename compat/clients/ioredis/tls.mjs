// Through TLS, with and without a certificate of the client's own, which names its user. Nothing where the server was not started
// by compat/run.
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { complaints, equal, holds, own } from '../../checks.mjs';

const { COMPAT_TLS_PORT: port, COMPAT_TLS_DIR: dir } = process.env;
const file = (name) => readFileSync(`${dir}/${name}`);

export function tls(open, client, protocol) {
  if (!port) return {};
  const secure = (options, more = {}) =>
    open({ host: 'localhost', port: Number(port), tls: { ca: file('ca.pem'), ...options }, ...more });
  const shown = () => ({ cert: file('ada.pem'), key: file('ada.key') });
  /** Why there is no connection. */
  const refused = async (options) => {
    const tried = new Redis({
      host: 'localhost', port: Number(port), protocol, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, tls: options,
    });
    const errors = [];
    tried.on('error', (error) => errors.push(error.message));
    const value = await tried.connect().then(() => tried.ping()).catch((error) => error);
    tried.disconnect();
    holds(value instanceof Error, `it got in: ${value}`);
    return [...errors, value.message].join(' ');
  };
  return {
    'TLS: commands, pipelines and large values': async () => {
      const secured = await secure({});
      const [key, large] = [own('tls'), 'x'.repeat(5 << 20)];
      equal(await secured.set(key, large), 'OK');
      equal((await secured.get(key)).length, large.length);
      const pipeline = secured.pipeline();
      for (let at = 0; at < 1000; at++) pipeline.echo(String(at));
      equal((await pipeline.exec()).map(([, value]) => value), Array.from({ length: 1000 }, (_, at) => String(at)));
      equal(await secured.del(key), 1);
      equal(await secured.acl('WHOAMI'), 'default');
      secured.disconnect();
    },
    'TLS: messages': async () => {
      const [listener, speaker] = [await secure({}), await secure({})];
      const heard = new Promise((resolve) => listener.once('message', (...words) => resolve(words)));
      await listener.subscribe(own('news'));
      equal(await speaker.publish(own('news'), 'of today'), 1);
      equal(await heard, [own('news'), 'of today']);
      listener.disconnect();
      speaker.disconnect();
    },
    'TLS: the certificate names the user': async () => {
      await client.acl('SETUSER', 'ada', 'on', '+@all', '~*', '&*');
      const secured = await secure(shown());
      equal(await secured.acl('WHOAMI'), 'ada');
      secured.disconnect();
      await client.acl('DELUSER', 'ada');
    },
    'TLS: without a certificate where one is asked for': async () => {
      await client.config('SET', 'tls-auth-clients', 'yes');
      try {
        await refused({ ca: file('ca.pem') });
        await refused({ ca: file('ca.pem'), cert: file('foreign/ada.pem'), key: file('foreign/ada.key') });
        const secured = await secure(shown());
        equal(await secured.ping(), 'PONG');
        secured.disconnect();
      } finally {
        await client.config('SET', 'tls-auth-clients', 'optional');
      }
    },
    'TLS: a server of another CA is not believed': async () => {
      const why = await refused({ ca: file('foreign/ca.pem') });
      holds(/certificate/.test(why), why);
      complaints.splice(0);
    },
  };
}
