/** Which server the page talks to. */

import { Server } from '../shared/api';
import { element } from '../shared/dom';

const REMEMBERED = 'pointstream.server';
const STANDARD = 'http://localhost:8000';

/** Whether a pointstream server served this page; then it is the one to talk to. */
export function isServed(): boolean {
  const mark = document.querySelector<HTMLMetaElement>('meta[name="pointstream-server"]');
  return mark?.content === 'self';
}

/**
 * The server: the one that served the page, else `?server=`, else the one that was used last, else
 * the usual address of one on this machine.
 */
export function initialServer(): Server {
  if (isServed()) {
    return new Server(location.origin);
  }
  const asked = new URLSearchParams(location.search).get('server');
  for (const address of [asked, remembered()]) {
    try {
      if (address) {
        return new Server(address);
      }
    } catch {
      // No address; the next may be one.
    }
  }
  return new Server(STANDARD);
}

/** Lets one choose another server, unless the page was served by one. */
export function offerChoice(server: Server, choose: (server: Server) => void): void {
  const form = element<HTMLFormElement>('server-form');
  const input = element<HTMLInputElement>('server');
  form.hidden = isServed();
  input.value = server.base;
  input.addEventListener('input', () => input.setCustomValidity(''));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    try {
      const chosen = new Server(input.value);
      remember(chosen.base);
      input.value = chosen.base;
      choose(chosen);
    } catch {
      input.setCustomValidity('this is no address of a server');
      input.reportValidity();
    }
  });
}

/** The session that the page's address names. */
export function namedSession(): string | undefined {
  return new URLSearchParams(location.search).get('session') ?? undefined;
}

/** Makes the page's address name the session, so that reloading comes back to it. */
export function nameSession(session: string | undefined): void {
  const url = new URL(location.href);
  if (session) {
    url.searchParams.set('session', session);
  } else {
    url.searchParams.delete('session');
  }
  history.replaceState(null, '', url);
}

function remembered(): string | null {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}

function remember(address: string): void {
  try {
    localStorage.setItem(REMEMBERED, address);
  } catch {
    // The browser keeps nothing; then it is asked for again.
  }
}
