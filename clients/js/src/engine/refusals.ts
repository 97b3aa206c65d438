/** Finds out which message an error of the server is about. */

import type { ServerError } from '../errors.js';
import type { Blame } from './blame.js';
import type { Requests } from './requests.js';
import type { SessionResource } from './resource.js';
import type { Uploads } from './uploads.js';

/** Whether an error is about an image in transit, the pending request, or neither. */
export type Subject = 'image' | 'request' | 'none';

export class Refusals {
  constructor(
    private readonly uploads: Uploads,
    private readonly requests: Requests,
    private readonly resource: SessionResource,
    private readonly blame: Blame,
  ) {}

  /** The subject of an error of a server that repeats identifiers. An image is refused. */
  byId(error: ServerError, id: string | undefined): Subject {
    if (id === undefined) {
      return 'none';
    }
    if (this.uploads.refused(error, id)) {
      return 'image';
    }
    // `cancel` names the request as well: its error does not answer the request.
    const answers = error.code !== 'nothing_to_cancel' && this.requests.isAnsweredBy(id, true);
    return answers ? 'request' : 'none';
  }

  /**
   * The subject of an error without identifier. An image is refused.
   *
   * @param isCurrent whether the connection is still that of the error. If not, the reconnection
   * determines the state of the images.
   * @returns undefined if the connection was lost meanwhile.
   */
  async byGuess(error: ServerError, isCurrent: () => boolean): Promise<Subject | undefined> {
    const images = this.uploads.in('sent').length > 0;
    const request =
      this.requests.pending && (!images || (await this.isRequestsError(error.message)));
    if (!isCurrent()) {
      return undefined;
    }
    if (request) {
      return 'request';
    }
    if (this.uploads.refused(error)) {
      this.blame.assign();
      return 'image';
    }
    return 'none';
  }

  private async isRequestsError(message: string): Promise<boolean> {
    try {
      return (await this.resource.info()).error_message === message;
    } catch {
      return false;
    }
  }
}
