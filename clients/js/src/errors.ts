/**
 * Everything that this package throws.
 *
 * An error of the server keeps the server's `code`, and says what would work. The codes are those
 * of docs/protocol.md; a code that this version does not know becomes a `ServerError`.
 */

/** Any error of this package. */
export class PointstreamError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** The server does not respond: it is not there, or the network is down. */
export class UnreachableError extends PointstreamError {}

/** A connection was lost, and could not be restored within the allowed attempts. */
export class ConnectionLostError extends PointstreamError {}

/** The session was used after it was closed. */
export class ClosedError extends PointstreamError {}

/** The answer is not one of the protocol: most likely something else answers at this address. */
export class InvalidResponseError extends PointstreamError {}

/** The server speaks another version of the protocol. */
export class IncompatibleServerError extends PointstreamError {}

/** A file is not a GLB that this package reads. */
export class GlbError extends PointstreamError {}

/** A message of a webhook is not from the server, too old, or malformed. */
export class WebhookError extends PointstreamError {}

/** What is known of an error beside its message. */
export interface ErrorDetails {
  /** One of the error codes of the protocol; missing if a proxy answered in place of the server. */
  code?: string | undefined;
  /** The status of an HTTP answer, or the close code of a socket. */
  status?: number | undefined;
  /** Seconds after which the server wants to be asked again. */
  retryAfter?: number | undefined;
  /** The image concerned. */
  filename?: string | undefined;
  /** The path of a result that did not fit into a message. */
  resultUrl?: string | undefined;
}

/** The server refuses a request, or could not fulfil it. */
export class ServerError extends PointstreamError {
  readonly code: string | undefined;
  readonly status: number | undefined;
  readonly retryAfter: number | undefined;
  readonly filename: string | undefined;
  readonly resultUrl: string | undefined;

  /** @param message what the server says, for people. */
  constructor(message: string, details: ErrorDetails = {}) {
    super(message);
    this.code = details.code;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
    this.filename = details.filename;
    this.resultUrl = details.resultUrl;
  }

  /** What would work. */
  get advice(): string {
    return "the server's log may say more";
  }

  override toString(): string {
    const code = this.code ? ` [${this.code}]` : '';
    return `${this.name}: ${this.message}${code}; ${this.advice}`;
  }
}

/** There is no valid token. */
export class AuthenticationError extends ServerError {
  override get advice(): string {
    return 'pass a valid token, which the operator makes with `pointstream token add`';
  }
}

/** The token, or this way to the server, does not allow the operation. */
export class PermissionDeniedError extends ServerError {
  override get advice(): string {
    return 'use a token with this scope and the address that the operator gives';
  }
}

/** There is no such session for this caller. */
export class SessionNotFoundError extends ServerError {
  override get advice(): string {
    return 'create a new session; unused and idle sessions expire';
  }
}

/** The session has ended while it was used. */
export class SessionEndedError extends ServerError {
  override get advice(): string {
    return 'create a new session and send the images again';
  }
}

/** An image cannot be used. The session goes on without it. */
export class ImageRefusedError extends ServerError {
  override get advice(): string {
    return 'send a JPEG, HEIC, PNG or WebP file within the limits of client.info()';
  }
}

/** The request was cancelled. */
export class RequestCancelledError extends ServerError {
  override get advice(): string {
    return 'images and earlier results are kept, so generate() works again';
  }
}

/** A parameter, a message or a form is not one that the server takes. */
export class InvalidRequestError extends ServerError {
  override get advice(): string {
    return 'the message names what is wrong; docs/protocol.md lists what is accepted';
  }
}

/** The session is not in a state for this. */
export class StateError extends ServerError {
  override get advice(): string {
    return 'look at session.state()';
  }
}

/** The session is completed. */
export class SessionCompletedError extends StateError {
  override get advice(): string {
    return 'session.reopen() lets it take images and requests again';
  }
}

/** The server, or this caller's share of it, is full for now. */
export class BusyError extends ServerError {
  override get advice(): string {
    return 'try again later, after retryAfter seconds if it is given';
  }
}

/** The images gave no result. */
export class ReconstructionError extends ServerError {
  override get advice(): string {
    return 'fewer images, a smaller process_res or other images may work';
  }
}

/** A result is larger than this client, or something on the way, takes. */
export class ResultTooLargeError extends ServerError {
  override get advice(): string {
    return "fetch it with session.result(), or create the session with deltas: 'cumulative'";
  }
}

/** The server could not store or read something. */
export class StorageError extends ServerError {
  override get advice(): string {
    return 'the operator must make space on the disk or raise the limits of it';
  }
}

type Kind = new (message: string, details?: ErrorDetails) => ServerError;

const KINDS: readonly (readonly [Kind, string])[] = [
  [AuthenticationError, 'unauthenticated'],
  [
    PermissionDeniedError,
    'missing_scope watches_only origin_not_allowed host_not_allowed https_required',
  ],
  [SessionNotFoundError, 'session_not_found'],
  [SessionEndedError, 'session_deleted session_expired session_failed'],
  [ImageRefusedError, 'invalid_image image_too_large too_many_images'],
  [RequestCancelledError, 'cancelled'],
  [
    InvalidRequestError,
    'invalid_message invalid_parameter unknown_parameter unexpected_body invalid_form ' +
      'unsupported_media_type method_not_allowed upgrade_required invalid_header not_found ' +
      'protocol_violation message_too_large range_not_satisfiable precondition_failed ' +
      'invalid_video video_too_large videos_off',
  ],
  [SessionCompletedError, 'session_completed'],
  [StateError, 'no_images nothing_to_cancel unknown_result not_completed no_result'],
  [
    BusyError,
    'session_busy too_many_requests too_many_sessions too_many_clients too_many_connections ' +
      'server_busy shutting_down not_ready worker_restarts reads_too_slowly sends_too_slowly ' +
      'no_answer',
  ],
  [ReconstructionError, 'model_failed no_point_cloud out_of_memory timeout worker_failed'],
  [ResultTooLargeError, 'result_too_large'],
  [StorageError, 'disk_full storage_failed'],
];

const BY_CODE = new Map<string | undefined, Kind>(
  KINDS.flatMap(([kind, codes]) => codes.split(' ').map((code): [string, Kind] => [code, kind])),
);

/** For answers without a code, which a proxy gives. */
const BY_STATUS = new Map<number | undefined, Kind>([
  [401, AuthenticationError],
  [403, PermissionDeniedError],
  [429, BusyError],
  [502, BusyError],
  [503, BusyError],
  [504, BusyError],
]);

/** The error of this code, or else of this status. */
export function serverError(message: string, details: ErrorDetails = {}): ServerError {
  const kind = BY_CODE.get(details.code) ?? BY_STATUS.get(details.status) ?? ServerError;
  return new kind(message, details);
}

/** The message of an error. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An error of this package for what was thrown while a message was read or written. */
export function asPointstreamError(error: unknown): PointstreamError {
  if (error instanceof PointstreamError) {
    return error;
  }
  return new InvalidResponseError(`a message of the server is incomplete: ${reason(error)}`);
}
