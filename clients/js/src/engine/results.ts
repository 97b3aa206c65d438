/** Results: which updates are there already, how they are confirmed, and how lost ones are fetched. */

import type { Answer } from './messages.js';
import type { EngineOptions } from './options.js';
import type { Request } from './requests.js';
import type { SessionResource } from './resource.js';
import type { Query, Server } from './server.js';

export interface Fetched {
  answer: Answer;
  glb: Uint8Array<ArrayBuffer>;
}

export class Results {
  /** @param since number of the last update that has only what is new. */
  constructor(
    private readonly options: Required<Pick<EngineOptions, 'binary' | 'deltas'>>,
    private since: number | undefined,
    private readonly server: Server,
    private readonly resource: SessionResource,
  ) {}

  /** The parameters of the next connection. */
  parameters(): Query {
    const { binary, deltas } = this.options;
    const update = deltas === 'append' ? { deltas, since: this.since } : {};
    return { ...(binary ? { binary } : {}), ...update };
  }

  /** Whether an update is one that was applied already, and was lost before it was confirmed. */
  isKnown({ metadata: { append } }: Answer): boolean {
    return append !== undefined && this.since !== undefined && append.number <= this.since;
  }

  /** Notes that an answer was applied. */
  applied(answer: Answer): void {
    const { append } = answer.metadata;
    if (append && !this.isKnown(answer)) {
      this.since = append.number;
    }
  }

  /** The message that confirms an answer; undefined if the server needs none. */
  confirmation({ number, metadata }: Answer): string | undefined {
    const confirmed = number ?? metadata.append?.number;
    return confirmed === undefined
      ? undefined
      : JSON.stringify({ type: 'received', number: confirmed });
  }

  /** Whether the newest result answers a request, in place of its own answer. */
  mayBeFetched({ kind, incremental }: Request): boolean {
    // A whole result in place of an update would leave out what came in between.
    return !(this.options.deltas === 'append' && kind === 'update' && incremental);
  }

  /**
   * Takes the newest result over HTTP as the answer to a request.
   *
   * @param path where the server says that it is, if it does.
   */
  async fetch({ id }: Request, path?: string): Promise<Fetched> {
    const { answer, glb } = await this.resource.result(path && this.server.below(path));
    return {
      answer: { ...answer, ...(id === undefined ? {} : { id }) },
      glb: new Uint8Array(await glb.arrayBuffer()),
    };
  }
}
