/** The address of the page's server. */

import { Server } from '../shared/api';
import { element } from '../shared/dom';

const REMEMBERED = 'pointstream.server';
const STANDARD = 'http://localhost:8000';

/** Whether a pointstream server served this page; the page then uses that server. */
export function isServed(): boolean {
  const mark = document.querySelector<HTMLMetaElement>('meta[name="pointstream-server"]');
  return mark?.content === 'self';
}

/**
 * The server that served the page, else `?server=`, else the last used server, else the default
 * address on this machine.
 */
export function initialServer(): Server {
  if (isServed()) {
    return Server.ofPage();
  }
  const asked = new URLSearchParams(location.search).get('server');
  for (const address of [asked, remembered()]) {
    try {
      if (address) {
        return new Server(address);
      }
    } catch {
      // Not a valid address; try the next candidate.
    }
  }
  return new Server(STANDARD);
}

/** Lets the user choose another server, unless a pointstream server served the page. */
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
      input.setCustomValidity('this is not the address of a server');
      input.reportValidity();
    }
  });
}

/** The session identifier in the page's address. */
export function namedSession(): string | undefined {
  return new URLSearchParams(location.search).get('session') ?? undefined;
}

/** Puts the session identifier into the page's address, so that a reload reopens the session. */
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
    // Storage is disabled; the user will have to enter the address again.
  }
}
