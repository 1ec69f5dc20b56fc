// What a person does with the console, done by a program in a real browser.
//
// Beside what each check looks at, none of them may have a dialog of the browser, a message on its console, or a request to anywhere else.
import { chromium } from 'playwright-core';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Server, sleep } from './server.mjs';
import { HOSTILE, HOSTILE_COLLECTION, LONG, PASSWORD, PEOPLE, VIEWER, seed } from './seed.mjs';

const PAGES = ['overview', 'collections', 'query', 'keys', 'replication', 'clients', 'slow', 'audit'];
const PICTURES = fileURLToPath(new URL('../../docs/console/', import.meta.url));

function holds(condition, what) {
  if (!condition) throw new Error(what);
}

const settings = { requirepass: PASSWORD, 'slowlog-log-slower-than': 0, 'audit-events': 'auth denied acl key token config ddl' };
const server = await Server.start(settings);
const admin = await server.session('default', PASSWORD);
await seed(admin);
const replica = await Server.start({ replicaof: `127.0.0.1 ${server.port}`, masterauth: PASSWORD, 'http-console': 'no' });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--disable-lcd-text', ...(process.getuid() === 0 ? ['--no-sandbox'] : [])],
});

/** What must not have happened. */
const trouble = [];

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, colorScheme: 'light', reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on('dialog', (dialog) => (trouble.push(`a dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on('pageerror', (error) => trouble.push(`an error of the page: ${error.message}`));
  page.on('console', (message) => {
    // The browser itself notes every answer that is a refusal, and those that a check has not come.
    const isRefusal = /^Failed to load resource: (.* status of (401|403)|net::ERR_FAILED)/.test(message.text());
    if (!isRefusal) trouble.push(`on the console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(`${server.origin}/`)) trouble.push(`a request to ${request.url()}`);
  });
  await page.goto(`${server.origin}/console/`);
  return page;
}

async function enter(page, user = 'default', password = PASSWORD) {
  await page.getByLabel('User').fill(user);
  await page.getByLabel('Password or token').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
}

async function visit(page, hash, heading) {
  await page.evaluate((to) => (location.hash = to), hash);
  if (heading) await page.getByRole('heading', { level: 1, name: heading }).waitFor();
}

const link = (...parts) => parts.map(encodeURIComponent).join('/');
const alert = (page) => page.getByRole('alert').first();
const text = (page) => page.locator('main').innerText();

/** Waits until a condition holds. */
async function until(what, condition, ms = 10_000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`it did not come to: ${what}`);
    await sleep(50);
  }
}

let page;
const checks = {
  'the root leads to the console, which asks who one is': async () => {
    page = await open();
    await page.goto(`${server.origin}/`);
    holds(page.url() === `${server.origin}/console/`, page.url());
    await page.getByRole('button', { name: 'Log in' }).waitFor();
  },
  'a wrong password is refused': async () => {
    await page.getByLabel('Password or token').fill('wrong');
    await page.getByRole('button', { name: 'Log in' }).click();
    await alert(page).waitFor();
    holds((await alert(page).innerText()).includes('WRONGPASS'), await alert(page).innerText());
  },
  'one logs in by the keyboard alone': async () => {
    await page.reload();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    // The password has the focus, the name being filled in.
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Collections' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Collections' }).waitFor();
    await page.keyboard.press('Tab');
    holds((await page.evaluate(() => document.activeElement.textContent)) === 'Skip to the page', 'the first stop is the way to the page');
    await page.keyboard.press('Enter');
    holds((await page.evaluate(() => document.activeElement.id)) === 'main', 'it leads there');
  },
  'the cookie is out of reach of scripts': async () => {
    holds((await page.evaluate(() => document.cookie)) === '', 'document.cookie shows it');
    const [cookie] = await page.context().cookies();
    holds(cookie.httpOnly && cookie.sameSite === 'Strict' && cookie.path === '/console', JSON.stringify(cookie));
  },
  'the overview is alive': async () => {
    await visit(page, 'overview', 'Overview');
    await until('two moments of throughput', async () => (await page.locator('.card').first().locator('path.stroke').getAttribute('d').catch(() => ''))?.includes('L'));
    const shown = await text(page);
    for (const name of ['Throughput', 'Latency', 'Memory', 'Clients', 'Changes', 'Replication lag', '1 replica follows', 'primary']) holds(shown.includes(name), `no ${name}`);
  },
  'a lost answer is said, and the plots go on': async () => {
    const plot = () => page.locator('.card').first().locator('path.stroke').getAttribute('d');
    const lost = '**/console/run';
    await page.route(lost, (route) => route.abort());
    await page.getByText('The server does not answer.').waitFor();
    await page.unroute(lost);
    await page.getByText('The server does not answer.').waitFor({ state: 'detached' });
    const before = await plot();
    await until('another moment of throughput', async () => (await plot()) !== before);
  },
  'a hidden page asks for nothing': async () => {
    const before = Number((await admin('INFO', 'stats')).match(/total_commands_processed:(\d+)/)[1]);
    await page.evaluate(() => Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true }));
    await sleep(2500);
    const after = Number((await admin('INFO', 'stats')).match(/total_commands_processed:(\d+)/)[1]);
    await page.evaluate(() => delete document.visibilityState);
    // The replica's own are not counted; two of the page may have been on their way.
    holds(after - before <= 4, `${after - before} commands`);
  },
  'collections are listed with their sizes': async () => {
    await visit(page, 'collections', 'Collections');
    const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'people', exact: true }) });
    holds((await row.innerText()).includes(String(PEOPLE + 1)), await row.innerText());
  },
  'a collection is browsed, page by page': async () => {
    await page.getByRole('link', { name: 'people', exact: true }).click();
    await page.getByRole('link', { name: 'p000' }).waitFor();
    await page.getByRole('button', { name: 'Next page' }).click();
    await page.getByRole('link', { name: 'p025' }).waitFor();
    holds((await page.getByRole('link', { name: 'p000' }).count()) === 0, 'the page before is still there');
    holds((await text(page)).includes('by_city_name'), 'its indexes');
  },
  'a collection is filtered and sorted': async () => {
    await page.getByLabel('Filter').fill('{"age": {"$gte": 78}}');
    await page.getByLabel('Sort').fill('{"score": -1}');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByRole('link', { name: 'p359' }).waitFor();
    holds((await page.locator('td.id').first().innerText()) === 'p359', 'the order');
    await page.getByLabel('Filter').fill('{"$nonsense": 1}');
    await page.getByLabel('Filter').press('Enter');
    await alert(page).waitFor();
    await until('an index says that it was used', async () => {
      await visit(page, 'collections');
      await visit(page, link('collections', '0', 'people'));
      await page.getByText('by_age').waitFor();
      return (await page.getByRole('row', { name: /by_age/ }).innerText()).match(/\d{4}-\d\d-\d\d/) !== null;
    });
  },
  'a document is edited': async () => {
    await visit(page, link('collections', '0', 'people', 'p001'));
    const area = page.getByLabel('Document as JSON');
    await area.fill('{"_id": "p001", "name": "Ada Lovelace", "age": 36}');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Stored as version').waitFor();
    holds((await admin('DOC.GET', 'people', 'p001')).includes('Ada Lovelace'), 'it is stored');
  },
  'a document that another has changed meanwhile is not overwritten': async () => {
    await admin('DOC.SET', 'people', 'p001', '{"name":"Somebody else"}');
    await page.getByLabel('Document as JSON').fill('{"name": "mine"}');
    await page.getByRole('button', { name: 'Save' }).click();
    await alert(page).waitFor();
    holds((await admin('DOC.GET', 'people', 'p001')).includes('Somebody else'), 'it was overwritten');
    await page.getByRole('button', { name: 'Read again' }).click();
    await until('the new text', async () => (await page.getByLabel('Document as JSON').inputValue()).includes('Somebody else'));
  },
  'what is no JSON is refused in place': async () => {
    await page.getByLabel('Document as JSON').fill('{"a": ');
    await page.getByRole('button', { name: 'Save' }).click();
    await alert(page).waitFor();
  },
  'long numbers stay what they are': async () => {
    await visit(page, link('collections', '0', 'people', 'long'));
    const area = page.getByLabel('Document as JSON');
    await until('the number', async () => (await area.inputValue()).includes(LONG));
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Stored as version').waitFor();
    holds((await admin('DOC.GET', 'people', 'long')).includes(LONG), 'it was rounded');
  },
  'a document is made and deleted': async () => {
    await visit(page, link('collections', '0', 'orders', ''));
    await page.getByLabel('Id').fill('made here/"by hand"');
    await page.getByLabel('Document as JSON').fill('{"price": 1}');
    await page.getByRole('button', { name: 'Store' }).click();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Keep as it is' }).click();
    holds((await admin('DOC.GET', 'orders', 'made here/"by hand"')) !== null, 'it is there');
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete it' }).click();
    await page.getByRole('button', { name: 'Find' }).waitFor();
    holds((await admin('DOC.GET', 'orders', 'made here/"by hand"')) === null, 'it is gone');
  },
  'hostile documents are text': async () => {
    for (const collection of ['hostile', HOSTILE_COLLECTION]) {
      await visit(page, 'collections', 'Collections');
      await visit(page, link('collections', '0', collection));
      await page.locator('td.id a').waitFor();
      await page.locator('td.id a').click();
      const area = page.getByLabel('Document as JSON');
      await area.waitFor();
      const before = await admin('DOC.GET', collection, HOSTILE._id);
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByText('Stored as version').waitFor();
      const [read, stored] = [before, await admin('DOC.GET', collection, HOSTILE._id)].map((one) => JSON.stringify(JSON.parse(one)));
      holds(read === stored, `it is not what it was: ${stored}`);
    }
    const shown = await page.locator('main').evaluate((main) => ({ markup: main.querySelectorAll('img, script, iframe, svg[onload], b').length, text: main.textContent }));
    holds(shown.markup === 0, 'it has become elements');
    holds(shown.text.includes('<img src=x onerror=') && shown.text.includes('\\u202e') && !shown.text.includes('\u202e'), 'it is not shown as it is');
    await visit(page, 'query', 'Query');
    await page.getByLabel('Collection').fill('hostile');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.locator('main pre.json').first().waitFor();
    holds((await page.evaluate(() => globalThis.boom)) === undefined, 'it was executed');
  },
  'a query is run, and a pipeline': async () => {
    await page.getByLabel('Collection').fill('people');
    await page.getByLabel('Filter').fill('{"name": "Grace"}');
    await page.getByLabel('Limit').fill('3');
    await page.getByLabel('Filter').press('Control+Enter');
    await until('three documents', async () => (await page.locator('pre.json').count()) === 3);
    await page.getByLabel('Limit').fill('');
    await page.getByLabel('Filter').fill('{}');
    await page.getByRole('button', { name: 'Run' }).click();
    await until('fifty documents', async () => (await page.locator('pre.json').count()) === 50);
    // The key twice, before there is an answer: the second does nothing, or it would close what the first one reads.
    await page.route('**/console/run', async (route) => (await sleep(300), route.continue()));
    await page.getByLabel('Filter').press('Control+Enter');
    await page.getByLabel('Filter').press('Control+Enter');
    await sleep(1500);
    await page.unroute('**/console/run');
    holds((await page.getByRole('alert').count()) === 0, await text(page));
    await page.getByRole('button', { name: 'Read on' }).click();
    await until('a hundred documents', async () => (await page.locator('pre.json').count()) === 100);
    await page.getByLabel('Kind').selectOption('aggregate');
    await page.getByLabel('Pipeline').fill('[{"$match":{"age":{"$gte":40}}},{"$group":{"_id":"$city","n":{"$sum":1}}},{"$sort":{"_id":1}}]');
    await page.getByRole('button', { name: 'Run' }).click();
    await until('five cities', async () => (await page.locator('pre.json').count()) === 5);
  },
  'EXPLAIN is drawn as a tree': async () => {
    await page.getByLabel('Pipeline').fill('[{"$match":{"age":{"$gte":77}}},{"$group":{"_id":"$city","n":{"$sum":1}}},{"$sort":{"_id":1}}]');
    await page.getByRole('button', { name: 'Explain' }).click();
    const tree = page.locator('ul.tree').first();
    await tree.waitFor();
    const boxes = await tree.locator('.box strong').allInnerTexts();
    holds(JSON.stringify(boxes) === JSON.stringify(['Result', '$sort', '$group', 'IXSCAN']), JSON.stringify(boxes));
    holds((await tree.innerText()).includes('by_age'), 'the index');
    const depths = await tree.locator('.box').evaluateAll((all) => all.map((box) => box.getBoundingClientRect().left));
    holds(depths.every((left, at) => at === 0 || left > depths[at - 1]), `each box is under the one before it: ${depths}`);
  },
  'any command is sent but those that would hold the page up': async () => {
    await page.getByLabel('Kind').selectOption('command');
    await page.getByRole('textbox', { name: 'Command' }).fill('DOC.COUNT people \'{"name":"Radia"}\'');
    await page.getByRole('button', { name: 'Run' }).click();
    await until('a number', async () => (await page.locator('main pre.json').innerText().catch(() => '')).trim() === String(PEOPLE / 8));
    await page.getByRole('textbox', { name: 'Command' }).fill('SUBSCRIBE news');
    await page.getByRole('button', { name: 'Run' }).click();
    await alert(page).waitFor();
    holds((await alert(page).innerText()).includes('not for the console'), await alert(page).innerText());
  },
  'a rotation is started, held, and watched to its end': async () => {
    await visit(page, 'keys', 'Keys');
    const state = page.locator('#rotation-state');
    await until('idle', async () => (await state.innerText()) === 'idle');
    await page.getByLabel('Records a second at most').fill('100');
    await page.getByRole('button', { name: 'Rotate the key' }).click();
    await until('it runs', async () => (await state.innerText()) === 're-encrypting');
    await page.getByRole('button', { name: 'Pause' }).click();
    await until('it is paused', async () => (await state.innerText()) === 'paused');
    await page.getByRole('button', { name: 'Resume' }).click();
    await until('it goes on', async () => (await state.innerText()) !== 'paused');
    await until('its end', async () => (await state.innerText()) === 'completed', 60_000);
    holds(Number(await page.locator('progress').getAttribute('value') ?? (await page.locator('progress').evaluate((bar) => bar.value))) === 100, 'the bar');
    await until('the new key', async () => (await page.getByRole('row', { name: /^2 active/ }).count()) === 1);
  },
  'a rotation is turned round': async () => {
    await page.getByLabel('Records a second at most').fill('20');
    await page.getByRole('button', { name: 'Rotate the key' }).click();
    await until('it runs', async () => (await page.locator('#rotation-state').innerText()).startsWith('re-encrypting'));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Turn it round' }).click();
    await until('it is turned round', async () => (await page.locator('#rotation-state').innerText()).includes('turned round'));
    await until('its end', async () => (await page.locator('#rotation-state').innerText()).startsWith('completed'), 60_000);
  },
  'the replica is shown': async () => {
    await visit(page, 'replication', 'Replication');
    await page.getByRole('row').filter({ hasText: `:${replica.port}` }).getByText('online').waitFor();
  },
  'a connection is closed': async () => {
    const socket = connect(server.port, '127.0.0.1');
    const ended = new Promise((resolve) => socket.on('close', () => resolve(true)));
    socket.resume();
    await new Promise((resolve) => socket.once('connect', resolve));
    const { localPort } = socket;
    await visit(page, 'clients', 'Clients');
    await page.getByRole('row').filter({ hasText: `127.0.0.1:${localPort}` }).getByRole('button').click();
    await page.getByRole('button', { name: 'Close it' }).click();
    holds(await Promise.race([ended, sleep(10_000)]), 'it is still open');
    await page.getByText('this page').waitFor();
  },
  'slow queries are listed, the latest first': async () => {
    await visit(page, 'slow', 'Slow queries');
    await page.getByRole('cell').first().waitFor();
    const times = await page.locator('tbody tr td:first-child').allInnerTexts();
    holds(times.length > 1 && JSON.stringify(times) === JSON.stringify([...times].sort().reverse()), times.join());
  },
  'the audit log is read and verified': async () => {
    await visit(page, 'audit', 'Audit');
    await page.getByRole('cell', { name: 'key.rotate', exact: true }).first().waitFor();
    const positions = (await page.locator('tbody tr td:first-child').allInnerTexts()).map(Number);
    holds(positions.every((position, at) => at === 0 || position < positions[at - 1]), positions.join());
    await page.getByRole('button', { name: 'Verify all of it' }).click();
    await page.getByText('All of it is as it was written.').waitFor();
  },
  'colours are chosen and kept': async () => {
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await paper();
    await page.getByRole('button', { name: 'Colours: Auto' }).click();
    await page.getByRole('button', { name: 'Colours: Light' }).click();
    await page.getByRole('button', { name: 'Colours: Dark' }).waitFor();
    const dark = await paper();
    holds(light !== dark, dark);
    await page.reload();
    await page.getByRole('button', { name: 'Colours: Dark' }).click();
    holds((await paper()) === light, 'back to the light');
  },
  'what the ACL refuses is said in place, and the rest can be used': async () => {
    await page.getByRole('button', { name: 'Log out' }).click();
    await enter(page, 'viewer', VIEWER);
    await visit(page, 'keys', 'Keys');
    await alert(page).waitFor();
    holds((await alert(page).innerText()).includes('NOPERM'), await alert(page).innerText());
    for (const [hash, heading] of [['clients', 'Clients'], ['slow', 'Slow queries'], ['audit', 'Audit']]) {
      await visit(page, hash, heading);
      await alert(page).waitFor();
      holds((await alert(page).innerText()).includes('NOPERM'), await alert(page).innerText());
    }
    await visit(page, link('collections', '0', 'people'));
    await alert(page).waitFor();
    holds((await page.locator('td').count()) === 0, 'documents are shown that it may not see');
    await visit(page, link('collections', '0', 'orders'));
    await page.locator('td.id a').first().waitFor();
    await visit(page, 'query', 'Query');
    await page.getByLabel('Kind').selectOption('command');
    await page.getByRole('textbox', { name: 'Command' }).fill('ACL LIST');
    await page.getByRole('button', { name: 'Run' }).click();
    await alert(page).waitFor();
    holds((await alert(page).innerText()).includes('NOPERM'), await alert(page).innerText());
  },
  'who may do nothing still has a page': async () => {
    await page.getByRole('button', { name: 'Log out' }).click();
    await enter(page, 'guest', VIEWER);
    for (const name of PAGES.filter((name) => name !== 'query')) {
      await visit(page, name);
      await alert(page).waitFor();
    }
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
  },
  'a token lets in until it is revoked': async () => {
    const token = await admin('TOKEN.ISSUE', 'USER', 'viewer', 'EX', '600');
    await enter(page, 'viewer', token);
    await visit(page, link('collections', '0', 'orders'));
    await page.locator('td.id a').first().waitFor();
    await admin('TOKEN.REVOKE', 'USER', 'viewer');
    await visit(page, 'overview');
    await page.getByText('The session is over').waitFor();
    await enter(page);
  },
  'the pages fit a phone, and its bar leads to all of them': async () => {
    const phone = await open({ viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true });
    const fits = async (where) => {
      const wide = await phone.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      holds(wide <= 0, `${where} is ${wide} px too wide`);
    };
    await fits('login');
    await enter(phone);
    for (const name of PAGES) {
      await phone.locator(`nav a[data-page=${name}]`).tap();
      await phone.locator(`nav a[data-page=${name}][aria-current=page]`).waitFor();
      await sleep(700);
      await fits(name);
    }
    for (const hash of [link('collections', '0', 'people'), link('collections', '0', HOSTILE_COLLECTION, HOSTILE._id), link('collections', '0', 'people', '')]) {
      await visit(phone, hash);
      await sleep(700);
      await fits(hash);
    }
    await phone.setViewportSize({ width: 360, height: 640 });
    for (const name of PAGES) {
      await visit(phone, name);
      await sleep(400);
      await fits(`${name} at 360 px`);
    }
    await phone.context().close();
  },
  'another site can do nothing': async () => {
    // On the same machine, so that the browser counts it as the same site and sends the cookie along.
    const evil = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<!doctype html><title>evil</title>'));
    await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
    const tab = await page.context().newPage();
    await tab.goto(`http://127.0.0.1:${evil.address().port}/`);
    const said = await tab.evaluate(async (target) => {
      const send = (kind, mode) =>
        fetch(`${target}/console/run`, { method: 'POST', mode, credentials: 'include', headers: { 'content-type': kind }, body: '["DOC.DROP","orders"]' }).then((answer) => answer.type, () => 'refused');
      const frame = document.createElement('iframe');
      frame.src = `${target}/console/`;
      document.body.append(frame);
      await new Promise((resolve) => (frame.onload = resolve));
      const form = document.createElement('form');
      Object.assign(form, { action: `${target}/console/run`, method: 'post', enctype: 'text/plain' });
      const field = document.createElement('input');
      Object.assign(field, { name: '["DOC.DROP","orders","', value: '"]' });
      form.append(field);
      document.body.append(form);
      const answers = [await send('application/json', 'cors'), await send('text/plain', 'no-cors')];
      form.submit();
      return answers;
    }, server.origin);
    holds(said.every((one) => one === 'refused'), said.join());
    await tab.waitForURL(`${server.origin}/console/run`);
    holds((await tab.content()).includes('only the console'), await tab.content());
    holds((await admin('DOC.COLLECTIONS')).includes('orders'), 'it was done');
    await tab.close();
    evil.close();
  },
  'no dialog, no message, no request to elsewhere': async () => {
    holds((await page.evaluate(() => globalThis.boom)) === undefined, 'something was executed');
    holds(trouble.length === 0, trouble.join('; '));
  },
};

for (const [what, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok console ${what}`);
  } catch (error) {
    console.log(`FAIL console ${what}: ${String(error?.message ?? error).split('\n').slice(0, 12).join(' ')}`);
  }
}

/** A picture of each page, light and dark. */
async function pictures() {
  mkdirSync(PICTURES, { recursive: true });
  for (const colorScheme of ['light', 'dark']) {
    const shown = await open({ colorScheme, viewport: { width: 1200, height: 720 } });
    const take = (name) => shown.screenshot({ path: `${PICTURES}${name}-${colorScheme}.png` });
    await take('login');
    await enter(shown);
    for (let moment = 0; moment < 25; moment += 1) {
      await Promise.all(Array.from({ length: 3 + (moment % 7) * 2 }, (_, n) => admin('DOC.UPDATE', 'people', `{"_id":"p${100 + n}"}`, '{"$inc":{"age":1}}')));
      await sleep(700);
    }
    await take('overview');
    await visit(shown, link('collections', '0', 'people'));
    await shown.getByText('by_city_name').first().waitFor();
    await take('collections');
    await visit(shown, link('collections', '0', 'hostile', HOSTILE._id));
    await shown.getByLabel('Document as JSON').waitFor();
    await take('document');
    await visit(shown, 'query', 'Query');
    await shown.getByLabel('Kind').selectOption('aggregate');
    await shown.getByLabel('Collection').fill('people');
    await shown.getByLabel('Pipeline').fill('[{"$match": {"$or": [{"age": {"$gte": 77}}, {"city": "Oslo", "name": "Ada"}]}},\n {"$group": {"_id": "$city", "n": {"$sum": 1}}},\n {"$sort": {"n": -1}}]');
    await shown.getByRole('button', { name: 'Explain' }).click();
    await shown.locator('ul.tree').first().waitFor();
    await shown.mouse.wheel(0, 420);
    await sleep(300);
    await take('query');
    await visit(shown, 'keys', 'Keys');
    await shown.getByLabel('Records a second at most').fill('100');
    await shown.getByRole('button', { name: 'Rotate the key' }).click();
    await sleep(3500);
    await take('keys');
    await until('its end', async () => (await shown.locator('#rotation-state').innerText()) === 'completed', 60_000);
    for (const name of ['replication', 'clients', 'slow', 'audit']) {
      await visit(shown, name);
      await shown.locator('td').first().waitFor();
      await take(name);
    }
    await shown.context().close();
    const phone = await open({ colorScheme, viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true });
    await enter(phone);
    await sleep(6000);
    await phone.screenshot({ path: `${PICTURES}phone-${colorScheme}.png` });
    await phone.context().close();
  }
}

try {
  if (process.env.UPDATE) await pictures();
} finally {
  await browser.close();
  await replica.stop();
  await server.stop();
}
