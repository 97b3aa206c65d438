/** Sends the images and requests of a session in their order, when they may be sent. */

import { asPointstreamError } from '../errors.js';
import { encodeImage, encodeRequest } from './encode.js';
import type { Ids } from './ids.js';
import type { Limits } from './messages.js';
import type { Request, RequestKind, Requests } from './requests.js';
import type { Image, Uploads } from './uploads.js';

/** Where the messages go. */
export interface Outlet {
  /** Whether something may be sent now; if not, `pump` is called later. */
  canSend(): boolean;
  send(data: string | ArrayBuffer): void;
  /** A request was sent. */
  onRequest(request: Request): void;
}

export class Sender {
  /** Whether updates that nobody asked for are requested as incremental. */
  incremental = true;
  /** Whether images are sent as binary messages. */
  binary = false;
  private sending = false;

  constructor(
    private readonly uploads: Uploads,
    private readonly requests: Requests,
    private readonly ids: Ids,
    private readonly limits: Limits,
    private readonly outlet: Outlet,
  ) {}

  /** A request that is yet to be sent. */
  make(kind: RequestKind, incremental: boolean): Request {
    return { kind, id: this.ids.next(), incremental, cancelled: false };
  }

  /** Sends what may be sent now. */
  async pump(): Promise<void> {
    if (this.sending) {
      return;
    }
    this.sending = true;
    try {
      while (this.outlet.canSend()) {
        const image = this.uploads.next();
        if (!image?.data) {
          this.request();
          break;
        }
        const message = await this.encode(image, image.data);
        // The connection may have dropped, or the image been refused, in the meantime.
        if (!message || !this.outlet.canSend() || image.state !== 'queued') {
          continue;
        }
        this.outlet.send(message);
        this.requests.imageSent();
        this.uploads.sent(image);
        this.request();
      }
    } finally {
      this.sending = false;
    }
  }

  /** Encodes an image; if that fails, refuses the image and returns undefined. */
  private async encode(image: Image, file: Blob): Promise<string | ArrayBuffer | undefined> {
    try {
      return await encodeImage(image, file, this.binary, this.limits);
    } catch (error) {
      if (image.state === 'queued') {
        this.uploads.refuse(image, asPointstreamError(error));
      }
      return undefined;
    }
  }

  /** Sends a request if one is due. */
  private request(): void {
    const kind = this.outlet.canSend() ? this.requests.due(this.uploads) : undefined;
    if (kind) {
      const request = this.requests.wanted ?? this.make(kind, this.incremental);
      this.requests.sent(request);
      this.outlet.send(encodeRequest(request));
      this.outlet.onRequest(request);
    }
  }
}
