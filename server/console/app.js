// The page as a whole: logging in and out, the ways between its parts, and its colours.

import { badge, button, el, field, input, notice, put, svg } from './parts.js';
import { visible } from './json.js';
import * as server from './server.js';
import * as overview from './overview.js';
import * as collections from './collections.js';
import * as query from './query.js';
import * as keys from './keys.js';
import * as replication from './replication.js';
import * as clients from './clients.js';
import * as slow from './slow.js';
import * as audit from './audit.js';

const PAGES = { overview, collections, query, keys, replication, clients, slow, audit };

/** Where the page is when somebody has logged out. */
const OUT = '#out';

const app = document.getElementById('app');
let leave = new AbortController();

// Colours: as the system has them, or as chosen here.
const THEMES = { auto: 'Auto', light: 'Light', dark: 'Dark' };

function theme() {
  try {
    return localStorage.getItem('veddb-theme') in THEMES ? localStorage.getItem('veddb-theme') : 'auto';
  } catch {
    return 'auto';
  }
}

function setTheme(chosen) {
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem('veddb-theme', chosen);
  } catch {
    // It is forgotten with the page then.
  }
}

function themeButton() {
  const text = () => `Colours: ${THEMES[theme()]}`;
  const pressed = button(text(), 'quiet theme', () => {
    const names = Object.keys(THEMES);
    setTheme(names[(names.indexOf(theme()) + 1) % names.length]);
    pressed.textContent = text();
  });
  return pressed;
}

const logo = () =>
  svg(
    'svg',
    { viewBox: '0 0 32 32', class: 'logo', 'aria-hidden': 'true' },
    svg('rect', { width: 32, height: 32, rx: 8 }),
    svg('path', { d: 'M8 9l8 14 8-14' }),
    svg('circle', { cx: 16, cy: 11, r: 2.4 }),
  );

const icon = (path) => svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: path }));

function showLogin(why) {
  leave.abort();
  document.title = 'Log in – VedDB console';
  const user = input({ type: 'text', name: 'user', value: 'default', autocomplete: 'username', autocapitalize: 'none', required: true });
  const password = input({ type: 'password', name: 'password', autocomplete: 'current-password' });
  const place = el('div', { class: 'place' });
  const enter = el('button', { type: 'submit', class: 'button main' }, 'Log in');
  const form = el(
    'form',
    {
      class: 'login panel',
      on: {
        submit: async (event) => {
          event.preventDefault();
          enter.disabled = true;
          try {
            showPages(await server.login(user.value, password.value));
            app.querySelector('nav [aria-current]').focus();
          } catch (error) {
            put(place, notice('error', error.message));
            password.value = '';
            password.focus();
          } finally {
            enter.disabled = false;
          }
        },
      },
    },
    el('div', { class: 'brand' }, logo(), el('h1', {}, 'VedDB console')),
    why && notice('info', why),
    field('User', user),
    field('Password or token', password, 'What you may see and do is what this user may.'),
    enter,
    place,
    themeButton(),
  );
  put(app, el('main', { class: 'door' }, form));
  (user.value === '' ? user : password).focus();
}

function showPages(who) {
  const main = el('main', { id: 'main', tabindex: -1 });
  const trouble = el('div', { class: 'place' });
  server.onReach((answers) => put(trouble, !answers && notice('error', 'The server does not answer.')));
  const links = Object.entries(PAGES).map(([name, page]) =>
    el('a', { href: `#${name}`, 'data-page': name }, icon(page.icon), el('span', {}, page.title)),
  );
  const out = button('Log out', 'quiet', async () => {
    try {
      await server.logout();
    } catch (error) {
      main.prepend(notice('error', `You are still logged in: ${error.message}`));
      return;
    }
    // Anew, so that nothing of what was typed or shown stays for whoever comes next.
    window.onhashchange = null;
    leave.abort();
    location.hash = OUT;
    location.reload();
  });
  const side = el(
    'aside',
    { class: 'side' },
    el('div', { class: 'brand' }, logo(), el('span', { class: 'name' }, 'VedDB'), badge(who.version)),
    el('nav', { 'aria-label': 'Pages' }, links),
    el('div', { class: 'foot' }, el('p', { class: 'who' }, el('span', {}, 'User '), el('strong', {}, visible(who.user))), themeButton(), out),
  );
  const skip = button('Skip to the page', 'skip', () => main.focus());
  put(app, skip, el('div', { class: 'frame' }, side, main));

  const show = () => {
    leave.abort();
    leave = new AbortController();
    const [name, ...rest] = location.hash.slice(1).split('/');
    const page = Object.hasOwn(PAGES, name) ? PAGES[name] : overview;
    const title = el('h1', {}, page.title);
    const view = el('div', { class: 'view' });
    document.title = `${page.title} – VedDB console`;
    for (const link of links) {
      if (PAGES[link.dataset.page] === page) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    // Not by scrollIntoView, which would also have Tab go on from there.
    const current = links.find((link) => link.hasAttribute('aria-current'));
    const bar = current.parentElement;
    bar.scrollLeft = current.offsetLeft - (bar.clientWidth - current.clientWidth) / 2;
    put(main, trouble, el('header', {}, title, el('p', { class: 'lead' }, page.about)), view);
    main.scrollTop = 0;
    let args = [];
    try {
      args = rest.map(decodeURIComponent);
    } catch {
      // A link that cannot be read leads to the page alone.
    }
    const signal = leave.signal;
    Promise.resolve(page.show(view, args, signal, who)).catch((error) => {
      if (!signal.aborted && !(error instanceof server.LoggedOut)) view.prepend(notice('error', error.message));
    });
  };
  window.onhashchange = show;
  show();
}

server.onLogout(() => {
  if (!window.onhashchange) return;
  window.onhashchange = null;
  showLogin('The session is over: it was not used for long, or its token or user is not valid any more.');
});

setTheme(theme());
try {
  const who = await server.whoami();
  if (who.user === null) showLogin(location.hash === OUT ? 'You are logged out.' : undefined);
  else showPages(who);
} catch (error) {
  put(app, el('main', { class: 'door' }, notice('error', error.message)));
}
