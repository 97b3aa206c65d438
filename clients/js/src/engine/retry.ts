/** How often, and after how long, something is tried again. */

/**
 * Attempts after the first one, with delays that double.
 *
 * An attempt counts until the server has answered a message: connections that break again and again
 * before that use up the attempts.
 */
export interface Retry {
  /** `Infinity` never gives up. */
  readonly attempts: number;
  /** Seconds before the second attempt. */
  readonly first: number;
  /** The longest delay in seconds. A server that asks for a longer one is not asked again. */
  readonly longest: number;
}

export const RETRY: Retry = { attempts: 6, first: 0.5, longest: 30 };

/** @throws RangeError if the numbers make no sense. */
export function checkRetry(retry: Retry): Retry {
  if (!(retry.attempts >= 0 && retry.first > 0 && retry.first <= retry.longest)) {
    throw new RangeError('attempts must be at least 0, and 0 < first <= longest');
  }
  return retry;
}

/** Seconds to wait before attempt 1, 2, ...; undefined if it must not be made. */
export function delayBefore(retry: Retry, attempt: number, retryAfter = 0): number | undefined {
  if (attempt > retry.attempts || retryAfter > retry.longest) {
    return undefined;
  }
  const doubled = Math.min(retry.first * 2 ** (attempt - 1), retry.longest);
  // Clients that a server has disconnected together must not return together.
  return Math.max(doubled * (0.5 + 0.5 * Math.random()), retryAfter);
}

/** Waits for so many seconds, or less if the signal is aborted. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, 1000 * seconds);
    signal?.addEventListener('abort', done);
    if (signal?.aborted) {
      done();
    }
  });
}
