// Writes documents through ioredis's Sentinel client, and prints what becomes of each write; led by tests/tests/failover. Takes and
// prints what ../redis-py/failover.py does, but for `server`.
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';

const options = JSON.parse(process.argv[2]);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const timeout = options.timeout_ms;
const client = new Redis({
  sentinels: options.sentinels.map(([host, port]) => ({ host, port })),
  name: options.name,
  connectTimeout: timeout,
  socketTimeout: timeout,
});
// It goes on by itself.
client.on('error', () => {});
let closes = 0;
client.on('close', () => closes++);

let collection = '';
let changed = () => {};
let change = new Promise((resolve) => (changed = resolve));

const say = (what) => console.log(JSON.stringify({ ...what, at: Number(process.hrtime.bigint()) }));

/** What became of it, and what was said. */
async function write(target, document, value) {
  const before = closes;
  const pipeline = client.pipeline().call('DOC.SET', target, String(document), JSON.stringify({ v: value }));
  if (options.wait_ms) pipeline.wait(1, options.wait_ms);
  try {
    const [[refused], waited] = await pipeline.exec();
    // A pipeline is sent again after the connection was lost, and then the refusal speaks for the second time alone.
    if (refused) return [refused.name === 'ReplyError' && closes === before ? 'fail' : 'unknown', refused.message];
    if (waited && !(waited[1] >= 1)) return ['unknown', `then ${waited[0]?.message ?? waited[1]}`];
    return ['ok', ''];
  } catch (error) {
    return ['unknown', error.message];
  }
}

async function lane(number) {
  let [current, value] = ['', options.from * options.of + number];
  for (;;) {
    if (current === collection && !current) await change;
    if (current !== collection) {
      current = collection;
      say({ event: 'round', lane: number, round: current });
    }
    if (!current) continue;
    value += options.of;
    const document = options.documents ? Math.floor(Math.random() * options.documents) : value;
    say({ event: 'invoke', lane: number, document, value });
    const [event, why] = await write(current, document, value);
    say({ event, lane: number, value, why });
    await pause(event === 'ok' ? options.pause_ms : 20);
  }
}

options.lanes.forEach(lane);
createInterface({ input: process.stdin })
  .on('line', (line) => {
    collection = line.trim();
    changed();
    change = new Promise((resolve) => (changed = resolve));
  })
  .on('close', () => process.exit());
